"""Reports of runs: tables, figures and pages, made from what run folders hold."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.report.comparison import compare
    from faithkd.report.writing import write_report

_HOMES = {"compare": "comparison", "write_report": "writing"}
__all__ = ["compare", "write_report"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
