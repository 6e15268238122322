"""Peak memory of a process that does one thing, torch itself included."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch

import verify
from benchmarks.measuring.cells import Setting
from benchmarks.measuring.record import Row, Task
from benchmarks.measuring.speed_effort import Effort
from benchmarks.measuring.speed_training import trained


def tasks(effort: Effort) -> list[Task]:
    """Nothing but the imports, `crown` of many images, `complete` with many open nodes, and training."""
    many, hard = Setting("mnist", "fd", "0.1", effort.of(1000, 50)), Setting("mnist", "fd", "0.2", effort.of(32, 4))
    nodes = effort.of(5000, 50)
    return [
        Task({"figure": "memory", "of": "imports"}, alone, (nothing, ())),
        Task({"figure": "memory", "of": "crown", **many.key}, alone, (bounds, (many, "crown", None))),
        Task(
            {"figure": "memory", "of": "complete", **hard.key, "max_nodes": nodes},
            alone,
            (bounds, (hard, "complete", nodes)),
        ),
        Task({"figure": "memory", "of": "training mnist-fd"}, alone, (trained, ("mnist-fd", 2, effort))),
    ]


def alone(function: object, arguments: tuple[object, ...]) -> Row:
    """Do it in a process of its own; `peak_mib` is the most that this process had in memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def nothing() -> None:
    """What a process costs that has only imported the project."""


def bounds(setting: Setting, method: str, max_nodes: int | None) -> None:
    verify.faithfulness(*setting.problem(), method=method, max_nodes=max_nodes, timeout=3600.0)


def _measured(function: object, arguments: tuple[object, ...]) -> Row:
    torch.set_num_threads(1)
    function(*arguments)  # type: ignore[operator]
    # The high-water mark of this program alone; getrusage would count what its parent had before the start.
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return {"peak_mib": round(int(status.split()[0]) / 1024)}
