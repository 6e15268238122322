"""The engine `local`: this process, or worker processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from multiprocessing.queues import SimpleQueue

import torch

from faithkd import processes
from faithkd.certification.engines import Proved, Watch
from faithkd.certification.job import Job
from faithkd.processes import SPAWN
from faithkd.runs.arrays import Arrays
from faithkd.runs.parts import Part
from faithkd.runs.records import Certificate
from verify.joint.problem import Progress

LISTEN = 0.5
"""Seconds between two looks at what the workers report."""


def prove(job: Job, parts: Sequence[Part], workers: int | None, watch: Watch) -> Iterator[Proved]:
    """One process unless told otherwise; one thread a process, so that sums have one order wherever they are made."""
    count = min(workers or 1, len(parts))
    if count <= 1:
        torch.set_num_threads(1)
        for part in parts:
            yield part, *job.prove(part, partial(watch, part))
        return
    reports: SimpleQueue[tuple[Part, Progress]] = SPAWN.SimpleQueue()
    with processes.workers(count, _prepare, job, reports) as pool:
        waiting = {pool.submit(_prove, part): part for part in parts}
        while waiting:
            finished, _ = wait(waiting, timeout=LISTEN, return_when=FIRST_COMPLETED)
            while not reports.empty():
                watch(*reports.get())
            for future in finished:
                yield waiting.pop(future), *future.result()


_job: Job
_reports: SimpleQueue[tuple[Part, Progress]]


def _prepare(job: Job, reports: SimpleQueue[tuple[Part, Progress]]) -> None:
    global _job, _reports
    _job, _reports = job, reports
    torch.set_num_threads(1)


def _prove(part: Part) -> tuple[list[Certificate], Arrays]:
    return _job.prove(part, lambda progress: _reports.put((part, progress)))
