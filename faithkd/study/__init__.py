"""The paper's whole study on one data set: certified in resumable parts and measured, beside what the paper prints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.study.folder import StudyFolder, is_study
    from faithkd.study.plan import Plan
    from faithkd.study.running import run

_HOMES = {"Plan": "plan", "StudyFolder": "folder", "is_study": "folder", "run": "running"}
__all__ = ["Plan", "StudyFolder", "is_study", "run"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
