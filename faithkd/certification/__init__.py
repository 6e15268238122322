"""Certification of a pair over many images and radii: cut into fixed parts, run anywhere, kept in a run folder."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.certification.job import Job, prepare
    from faithkd.certification.request import Request
    from faithkd.certification.run import certify, new_folder

_HOMES = {"Job": "job", "Request": "request", "certify": "run", "new_folder": "run", "prepare": "job"}
__all__ = ["Job", "Request", "certify", "new_folder", "prepare"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
