"""The inputs that a row covers: its image's whole region, or, where there are few inputs, a box of its own within it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verify.pair import Pair
from verify.region import Region
from verify.rounding import part_of_box
from verify.rows import Rows

# Up to so many inputs, rows carry a box of inputs and are split there, too.
MOST_INPUTS = 32


@dataclass(frozen=True)
class InputBoxes:
    """Boxes of inputs, and for each row which of them is its own.

    index `(n,)`: the row's box. lower, upper, center: `(m, d)` float64. middle `(m, n_t + n_s)`: the first layers' outputs at the center,
    radius `(m, d)`, both in the type of the search. image `(m,)`: whose region it is in.
    """

    index: Tensor
    lower: Tensor
    upper: Tensor
    center: Tensor
    middle: Tensor
    radius: Tensor
    image: Tensor


class InputSpace:
    """The regions of all images of a pair, and the boxes within them. split: how many inputs rows are split at."""

    def __init__(self, region: Region, exact: Pair, dtype: torch.dtype) -> None:
        self._lower, self._upper, self._exact, self._dtype = region.lower, region.upper, exact, dtype
        size = region.lower.shape[1]
        self.split = size if size <= MOST_INPUTS else 0
        every = torch.arange(len(region), device=region.lower.device)
        self.whole = self._boxes(every, region.lower, region.upper, every)

    def of(self, rows: Rows) -> InputBoxes:
        """The boxes that these rows cover."""
        if rows.inputs == 0:
            return replace(self.whole, index=rows.image)
        lower, upper = self.regions(rows)
        low, high = (side[:, -rows.inputs :].double() for side in (rows.lower, rows.upper))
        least, most = part_of_box(lower, upper, low, up=False), part_of_box(lower, upper, high, up=True)
        return self._boxes(torch.arange(len(rows), device=lower.device), least, most, rows.image)

    def regions(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """The whole regions `(n, d)` of the rows' images, lower and upper."""
        return self._lower[rows.image], self._upper[rows.image]

    def _boxes(self, index: Tensor, lower: Tensor, upper: Tensor, image: Tensor) -> InputBoxes:
        center = (lower + upper) / 2
        middle = center @ self._exact.first.T + self._exact.first_bias
        radius = ((upper - lower) / 2).to(self._dtype)
        return InputBoxes(index, lower, upper, center, middle.to(self._dtype), radius, image)
