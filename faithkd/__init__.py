"""faithkd: train student networks from teachers and prove how faithfully they imitate them.

`import faithkd` is quick: torch is imported when `load` or `data.load` is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from faithkd.errors import UserError

if TYPE_CHECKING:
    from faithkd import data
    from faithkd.checkpoint import load

__version__ = "0.1.0"
__all__ = ["UserError", "__version__", "data", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("faithkd.checkpoint").load
    if name == "data":
        return importlib.import_module("faithkd.data")
    raise AttributeError(f"module 'faithkd' has no attribute {name!r}")
