"""Recorded results: one JSON file a benchmark, with the machine, rows that are kept as soon as they are measured."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


class Record:
    """Rows of one benchmark in `results/<name>.json`; a row that is there already is not measured again."""

    def __init__(self, name: str) -> None:
        self.path = RESULTS / f"{name}.json"
        self.rows = self._recorded()

    def measure(self, key: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row of `key`, computed and written unless it is recorded; `seconds` (wall clock) and `cpu_seconds` are added."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                return row
        started, worked = time.perf_counter(), time.process_time()
        values = compute()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        row = {**key, **values, "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}
        self.rows = [*self._recorded(), row]
        self._write()
        print(json.dumps(row), flush=True)
        return row

    def _recorded(self) -> list[dict[str, Any]]:
        """What is on disk, by other processes too."""
        return json.loads(self.path.read_text())["rows"] if self.path.exists() else []

    def _write(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        content = {"machine": machine(), "rows": self.rows}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(self.path)


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
