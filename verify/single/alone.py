"""What is known of two networks, each alone, over the same regions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.rounding import least
from verify.single.layers import LayerBounds

# The largest bound that a subproblem can hold, a float32 number, with room for what is computed from it.
LARGEST_HELD = 1e37


@dataclass(frozen=True)
class Alone:
    """Bounds of each network alone, teacher's and student's: layers, and upper bounds `(n, C, C)` of `d[i, j] = z_j - z_i`."""

    layers: tuple[LayerBounds, LayerBounds]
    differences: tuple[Tensor, Tensor]

    def __getitem__(self, images: Tensor) -> Alone:
        """The bounds of some images."""
        teacher, student = self.layers
        return Alone((teacher[images], student[images]), (self.differences[0][images], self.differences[1][images]))

    def tightened(self, images: Tensor, new: Alone) -> Alone:
        """The same with the layers of the images `(m,)` from `new`, and their differences where those are tighter."""
        layers = tuple(old.replaced(images, own) for old, own in zip(self.layers, new.layers, strict=True))
        differences = tuple(
            old.index_copy(0, images, least(old[images], own))
            for old, own in zip(self.differences, new.differences, strict=True)
        )
        return Alone((layers[0], layers[1]), (differences[0], differences[1]))

    def representable(self) -> Tensor:
        """`(n,)` truth values: the images all of whose bounds are finite float32 numbers, as those of subproblems are."""
        parts = [side for bounds in self.layers for side in (*bounds.lower, *bounds.upper)]
        parts += [upper.flatten(1) for upper in self.differences]
        return torch.stack([(part.abs() <= LARGEST_HELD).all(dim=1) for part in parts]).all(dim=0)
