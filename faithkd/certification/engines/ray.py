"""The engine `ray`: a Ray cluster, or Ray on this machine. A part whose worker dies is given to another one.

The cluster is the one that the environment variable RAY_ADDRESS names, as Ray's own tools have it; without it Ray is started on this
machine and stopped at the end. The machines of a cluster need the same versions of faithkd and torch, but no files: networks
and images travel with the job.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import ray
import torch

from faithkd.certification.engines import Proved, Watch
from faithkd.certification.job import Job
from faithkd.errors import UserError
from faithkd.imports import modules
from faithkd.runs.arrays import Arrays
from faithkd.runs.parts import Part
from faithkd.runs.records import Certificate
from verify.joint.problem import Progress

LISTEN = 1.0
"""Seconds between two looks at what the workers report."""
RETRIES = 3
"""Times that a part is begun again when its worker dies."""


def prove(job: Job, parts: Sequence[Part], workers: int | None, watch: Watch) -> Iterator[Proved]:
    """As many parts at once as `workers` says, or as Ray has processors for. Raises `UserError` when Ray cannot go on."""
    began = not ray.is_initialized()
    if began:
        _connect(workers)
    needs: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1 if job.request.device == "cuda" else 0}
    task = ray.remote(**needs, max_retries=RETRIES)(_prove)
    board: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board).remote()
    for module in modules():
        # A network of one's own travels with its code: the other machines need not have the file.
        ray.cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    shared = ray.put(job)
    todo = list(reversed(parts))
    running: dict[Any, Part] = {}
    try:
        while todo or running:
            while todo and len(running) < (workers or len(parts)):
                part = todo.pop()
                running[task.remote(shared, part, board)] = part
            finished, _ = ray.wait(list(running), num_returns=1, timeout=LISTEN)
            for part, progress in _read(board):
                watch(part, progress)
            for reference in finished:
                proved = _result(reference)
                yield running.pop(reference), *proved
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        ray.kill(board)
        if began:
            ray.shutdown()


class Board:
    """An actor that keeps the last report of every part until it is read."""

    def __init__(self) -> None:
        self._reports: dict[Part, Progress] = {}

    def post(self, part: Part, progress: Progress) -> None:
        """Put up what a worker reports."""
        self._reports[part] = progress

    def take(self) -> list[tuple[Part, Progress]]:
        """What is new since the last call."""
        reports, self._reports = list(self._reports.items()), {}
        return reports


def _connect(workers: int | None) -> None:
    # Ray sends figures about its use to its makers unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    here: dict[str, Any] = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    try:
        if address:
            _knock(address)
        ray.init(**({"address": address} if address else here), log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        what = f"reach the Ray cluster at {address} (RAY_ADDRESS)" if address else "start Ray on this machine"
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"cannot {what}: {why}; --engine local does without it") from error


def _knock(address: str) -> None:
    """Raise `OSError` when nobody listens at `host:port`: Ray itself would try for two minutes and then end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _prove(job: Job, part: Part, board: Any) -> tuple[list[Certificate], Arrays]:
    torch.set_num_threads(1)
    return job.prove(part, lambda progress: board.post.remote(part, progress))


def _result(reference: Any) -> tuple[list[Certificate], Arrays]:
    try:
        return ray.get(reference)  # type: ignore[no-any-return]
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f"a part was given up after {RETRIES + 1} workers died with it, perhaps for want of memory; continue with --resume"
        ) from error


def _read(board: Any) -> list[tuple[Part, Progress]]:
    """What is on the board; nothing while it is being restarted elsewhere, for reports are not results."""
    with suppress(ray.exceptions.RayError):
        return ray.get(board.take.remote(), timeout=LISTEN)  # type: ignore[no-any-return]
    return []
