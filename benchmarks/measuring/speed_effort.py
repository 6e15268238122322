"""How much work goes into the figures of `speed.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Effort:
    """How much work goes into a figure, and where it is done."""

    quick: bool
    device: str

    def of(self, full: Any, quick: Any) -> Any:
        """The first, or for a quick run the second."""
        return quick if self.quick else full
