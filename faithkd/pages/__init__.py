"""Pages of runs, studies and evaluations: what each says is a document, which is shown as HTML, as Markdown and on a terminal."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.pages.evaluations.document import write_evaluation
    from faithkd.pages.runs.writing import compare, write_report
    from faithkd.pages.studies.writing import compare_studies, write_study

_HOMES = {
    "compare": "runs.writing", "compare_studies": "studies.writing", "write_evaluation": "evaluations.document",
    "write_report": "runs.writing", "write_study": "studies.writing",
}  # fmt: skip
__all__ = ["compare", "compare_studies", "write_evaluation", "write_report", "write_study"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
