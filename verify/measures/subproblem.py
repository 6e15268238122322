"""Subproblems: a query of an image over a part of its region, and what is known there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """What the columns of a subproblem's boxes hold, one after the other: hidden neurons (teacher's, then student's), the measure's own
    quantities, and, where there are few, the inputs as shares of the region's half widths, from -1 to 1."""

    width: int
    own: int
    inputs: int

    @property
    def neurons(self) -> slice:
        """The columns of the hidden neurons."""
        return slice(0, self.width)

    @property
    def measure(self) -> slice:
        """The columns of the measure's own quantities."""
        return slice(self.width, self.width + self.own)

    @property
    def shares(self) -> slice:
        """The columns of the inputs."""
        return slice(self.width + self.own, self.width + self.own + self.inputs)


@dataclass(frozen=True)
class Subproblems:
    """image, query `(n,)`: which query (a number of the measure's) of which image. lower, upper `(n, columns)`: rounded out to float32."""

    image: Tensor
    query: Tensor
    lower: Tensor
    upper: Tensor
    layout: Layout

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, index: Tensor | slice) -> Subproblems:
        image, query, lower, upper = (column[index] for column in self.columns())
        return Subproblems(image, query, lower, upper, self.layout)

    def columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Everything of a subproblem, a tensor each."""
        return self.image, self.query, self.lower, self.upper

    def boxed(self, lower: Tensor, upper: Tensor) -> Subproblems:
        """The same queries with other boxes."""
        return Subproblems(self.image, self.query, lower, upper, self.layout)

    def narrowed(self, columns: slice, lower: Tensor, upper: Tensor) -> Subproblems:
        """The same with the boxes of some columns cut to `[lower, upper]`."""
        low, high = self.lower.clone(), self.upper.clone()
        low[:, columns] = torch.maximum(lower, low[:, columns])
        high[:, columns] = torch.minimum(upper, high[:, columns])
        return self.boxed(low, high)

    @staticmethod
    def cat(parts: Sequence[Subproblems]) -> Subproblems:
        """All subproblems of several batches."""
        image, query, lower, upper = map(torch.cat, zip(*(part.columns() for part in parts), strict=True))
        return Subproblems(image, query, lower, upper, parts[0].layout)

    @cached_property
    def empty(self) -> Tensor:
        """`(n,)` truth values: a box whose ends cross, each rounded outward, holds nothing."""
        return (self.lower > self.upper).any(dim=1)
