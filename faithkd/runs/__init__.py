"""What certification keeps: requests, run folders and their records, which are checked before they are believed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithkd.runs.folder import RunFolder
    from faithkd.runs.merging import merge
    from faithkd.runs.reading import Run, read_run
    from faithkd.runs.records import Certificate, Summary
    from faithkd.runs.request import Request

_HOMES = {
    "Certificate": "records", "Request": "request", "Run": "reading", "RunFolder": "folder", "Summary": "records",
    "merge": "merging", "read_run": "reading",
}  # fmt: skip
__all__ = ["Certificate", "Request", "Run", "RunFolder", "Summary", "merge", "read_run"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
