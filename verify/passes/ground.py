"""Where passes end: the boxes of inputs that rows cover, and what the first layers give at their middles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verify.passes.stack import Stack
from verify.region import Region


@dataclass(frozen=True)
class Ground:
    """Boxes of inputs, and for each row which of them is its own.

    index `(n,)`: the row's box. region: m boxes. firsts: each network's first layer's outputs `(m, n_k)` at their middles. For the search,
    in its type: middle `(m, sum n_k)`, all of these side by side, and half `(m, d)`, the half widths.
    """

    index: Tensor
    region: Region
    firsts: tuple[Tensor, ...]
    middle: Tensor
    half: Tensor

    @classmethod
    def of(cls, exact: Stack, region: Region, dtype: torch.dtype) -> Ground:
        """One row for each box."""
        firsts = exact.firsts(region.middle)
        index = torch.arange(len(region), device=region.lower.device)
        return cls(index, region, firsts, torch.cat(firsts, dim=1).to(dtype), region.half.to(dtype))

    def rows(self, index: Tensor) -> Ground:
        """The same boxes for rows that have the boxes `index` `(n,)`."""
        return replace(self, index=index)
