"""Reports: the run folder, its statistics, tables, figures and page."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.report.merging import compare, merge
    from faithkd.report.run_folder import Run, RunFolder, read_run
    from faithkd.report.writing import write_report

_HOMES = {
    "Run": "run_folder", "RunFolder": "run_folder", "compare": "merging", "merge": "merging", "read_run": "run_folder",
    "write_report": "writing",
}  # fmt: skip
__all__ = ["Run", "RunFolder", "compare", "merge", "read_run", "write_report"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
