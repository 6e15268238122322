"""Certification of a pair over many images and radii: cut into fixed parts, run anywhere, kept in a run folder."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.certification.job import Job, prepare
    from faithkd.certification.run import certify, new_folder
    from faithkd.runs.request import Request

_HOMES = {
    "Job": "certification.job", "Request": "runs.request", "certify": "certification.run", "new_folder": "certification.run",
    "prepare": "certification.job",
}  # fmt: skip
__all__ = ["Job", "Request", "certify", "new_folder", "prepare"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"faithkd.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
