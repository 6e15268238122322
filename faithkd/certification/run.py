"""Doing the parts of a job, here or in worker processes, and keeping what they prove in the run folder."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import faithkd
from faithkd.certification.job import Job, Part
from faithkd.errors import UserError
from faithkd.report.run_folder import Arrays, RunFolder
from faithkd.report.summary import Certificate
from verify.problem import Progress

Proved = tuple[Part, list[Certificate], Arrays]


@dataclass(frozen=True)
class Step:
    """How far a run is: images done of all (counted once a radius), and the mean interval so far at the radius just worked on.

    Inside a part of a slow method the mean is that of the part.
    """

    done: int
    total: int
    eps: float
    emplb: float
    faithub: float


def certify(
    job: Job, folder: RunFolder, *, workers: int = 1, progress: Callable[[Step], None] | None = None
) -> dict[str, Any]:
    """Do the parts that the run folder does not hold yet; returns the summary, which is saved there too.

    workers: processes, one thread each. Whatever ends this, the folder stays readable and the next call goes on from there.
    """
    parts = job.parts()
    finished = folder.finished((part.name, job.keys(part)) for part in parts)
    tally = _Tally(sum(len(part.rows) for part in parts), folder.certificates())
    started, before = time.perf_counter(), float(folder.summary.get("wall_seconds", 0.0))
    state = "failed"
    try:
        folder.summary["state"] = "running"
        folder.save_summary()
        todo = [part for part in parts if part.name not in finished]

        def within(part: Part, method: Progress) -> None:
            if progress is not None:
                progress(tally.within(part.eps, method))

        for part, certificates, arrays in _proved(job, todo, workers, within):
            folder.append(part.name, certificates, arrays)
            tally.add(certificates)
            if progress is not None:
                progress(tally.step(part.eps))
        folder.close()
        state = "complete"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        folder.summary["state"] = state
        folder.summary["wall_seconds"] = before + time.perf_counter() - started
        folder.summarise()
        folder.save_summary()
    return folder.summary


def new_folder(job: Job, path: str | Path) -> RunFolder:
    """A run folder for a job that has not begun."""
    return RunFolder.create(
        path,
        {
            "state": "running",
            "request": job.request.to_dict(),
            "valid_range": list(job.dataset.valid_range),
            "checksums": job.checksums,
            "environment": environment(job.request.device),
            "wall_seconds": 0.0,
            "radii": [],
        },
    )


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware, for the record."""
    versions = {"python": platform.python_version(), "faithkd": faithkd.__version__}
    for package in ("torch", "numpy", "gurobipy", "highspy", "pulp", "pyscipopt"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return {
        "device": device,
        "hardware": name,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "versions": versions,
    }


class _Tally:
    """Means of what is proved so far, by radius."""

    def __init__(self, total: int, certificates: list[Certificate]) -> None:
        self._total, self._done = total, 0
        self._values: dict[float, list[tuple[float, float]]] = {}
        self.add(certificates)

    def add(self, certificates: list[Certificate]) -> None:
        self._done += len(certificates)
        for line in certificates:
            self._values.setdefault(line["eps"], []).append((line["emplb"], line["faithub"]))

    def step(self, eps: float) -> Step:
        emplb, faithub = np.mean(self._values[eps], axis=0)
        return Step(self._done, self._total, eps, float(emplb), float(faithub))

    def within(self, eps: float, method: Progress) -> Step:
        return Step(self._done + method.images, self._total, eps, method.emplb, method.faithub)


def _proved(job: Job, parts: list[Part], workers: int, within: Callable[[Part, Progress], None]) -> Iterator[Proved]:
    """The parts as they are proved. One thread a process, so that sums have one order wherever they are made."""
    workers = min(workers, len(parts))
    if workers <= 1:
        torch.set_num_threads(1)
        for part in parts:
            yield part, *job.prove(part, partial(within, part))
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(job, os.getpid()))
    try:
        futures = {pool.submit(_prove, part): part for part in parts}
        for future in as_completed(futures):
            yield futures[future], *future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process ended unexpectedly, perhaps for want of memory; continue with --resume and fewer --workers"
        ) from error
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


_job: Job


def _start_worker(job: Job, parent: int) -> None:
    """A worker leaves Ctrl-C to its parent and ends when its parent is gone."""
    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _prove(part: Part) -> tuple[list[Certificate], Arrays]:
    return _job.prove(part)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
