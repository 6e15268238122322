"""Recorded results: one JSON file a benchmark, with the machine, rows that are kept as soon as they are measured."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
Row = dict[str, Any]


class Record:
    """Rows of one benchmark in `results/<name>.json`; a row that is there already is not measured again."""

    def __init__(self, name: str, folder: Path = RESULTS) -> None:
        self.path = folder / f"{name}.json"
        self.rows = self._recorded()

    def find(self, key: Row) -> Row | None:
        """The recorded row that has all values of `key`."""
        return next((row for row in self.rows if matches(row, key)), None)

    def add(self, row: Row) -> None:
        """Keep and write a row."""
        self.rows = [*self._recorded(), row]
        self._write()

    def drop(self, key: Row) -> None:
        """Forget every row that has all values of `key`."""
        self.rows = [row for row in self._recorded() if not matches(row, key)]
        self._write()

    def _recorded(self) -> list[Row]:
        """What is on disk, by other processes too."""
        return json.loads(self.path.read_text())["rows"] if self.path.exists() else []

    def _write(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        rows = ",\n".join("  " + json.dumps(row) for row in self.rows)
        content = f'{{\n "machine": {json.dumps(machine())},\n "rows": [\n{rows}\n ]\n}}\n'
        partial = self.path.with_suffix(".partial")
        partial.write_text(content)
        partial.replace(self.path)


@dataclass(frozen=True)
class Task:
    """A row to measure: what names it, and the function of a module with its arguments that gives its values."""

    key: Row
    function: Callable[..., Row]
    arguments: tuple[Any, ...]


def measure_all(record: Record, tasks: Iterable[Task], workers: int = 1, *, apart: bool = False) -> Iterator[Row]:
    """The row of each task, recorded ones first, the others as `workers` one-thread processes finish and this one records them.

    A single worker is this process itself, unless `apart`.
    """
    missing = []
    for task in tasks:
        recorded = record.find(task.key)
        if recorded is None:
            missing.append(task)
        else:
            yield recorded
    if not missing:
        return
    if workers == 1 and not apart:
        for task in missing:
            row = _work(task)
            record.add(row)
            yield row
        return
    # A parent that is told to end must leave the block, which ends its workers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with multiprocessing.get_context("spawn").Pool(workers, _prepare_worker) as pool:
        for row in pool.imap_unordered(_work, missing):
            record.add(row)
            yield row


def matches(row: Row, key: Row) -> bool:
    """Does a row have all values of `key`."""
    return all(row.get(name) == value for name, value in key.items())


def timed(compute: Callable[[], Row]) -> Row:
    """What `compute` gives, with its `seconds` (wall clock) and `cpu_seconds`, those of its child processes included."""
    started, worked = time.perf_counter(), _cpu_seconds()
    values = compute()
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - worked
    return {**values, "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: _version(name) for name in ("torch", "numpy", "gurobipy", "highspy", "pulp", "pyscipopt")},
    }


def _work(task: Task) -> Row:
    return {**task.key, **task.function(*task.arguments)}


def _prepare_worker() -> None:
    """One thread, and Ctrl-C is the parent's to answer: it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _cpu_seconds() -> float:
    """Of this process and of its finished children."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
