"""Activations between affine layers: the lines that enclose one over a box, what is free in them, and where a box is split.

Each neuron has one free number. Where the neuron is loose (the function is no line over its box) it is a part of the way from the least
to the largest slope of the line below, in [0, 1]. Elsewhere it is a multiplier of what is known of the sign of the pre-activation:
`number * side * z >= 0` may be added to any bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.rounding import line_slack


@dataclass(frozen=True)
class Lines:
    """`below z <= activation(z) <= above z + intercept` over a neuron's box, and `multiplier z >= 0`; each broadcasts to `(..., width)`."""

    above: Tensor
    intercept: Tensor
    below: Tensor
    multiplier: Tensor

    def of_rows(self, row: Tensor) -> Lines:
        """The lines of rows `(m,)`."""
        return Lines(self.above[row], self.intercept[row], self.below[row], self.multiplier[row])


@dataclass(frozen=True)
class Neurons:
    """What is known of neurons over their boxes, each `(..., width)`.

    loose: truth values. side: +1 where z >= 0 is known, -1 where z <= 0 is, 0 where neither. above, intercept: the line above, of a
    neuron that is not loose the function itself. least, most: slopes between which the line below through the origin is free.
    """

    loose: Tensor
    side: Tensor
    above: Tensor
    intercept: Tensor
    least: float | Tensor = 0.0
    most: float | Tensor = 1.0

    @classmethod
    def cat(cls, parts: Sequence[Neurons]) -> Neurons:
        """Neurons of several layers side by side."""
        loose, side, above, intercept = (
            torch.cat([getattr(part, name) for part in parts], dim=-1)
            for name in ("loose", "side", "above", "intercept")
        )
        least, most = (
            torch.cat(
                [torch.as_tensor(getattr(part, name)).to(part.above).expand_as(part.above) for part in parts], dim=-1
            )
            for name in ("least", "most")
        )
        return cls(loose, side, above, intercept, least, most)

    def lines(self, numbers: Tensor) -> Lines:
        """The lines at these numbers `(..., width)`, each in its set."""
        below = torch.where(self.loose, self.least + (self.most - self.least) * numbers, self.above)
        return Lines(self.above, self.intercept, below, numbers * self.side)

    def start(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Numbers to begin with: the steep line where more of the box is above zero, no multiplier."""
        return (self.loose & (upper > -lower)).to(self.above.dtype)

    def allowed(self, numbers: Tensor) -> Tensor:
        """The numbers brought into their sets, whatever they are."""
        numbers = numbers.nan_to_num(0, 0, 0).clamp(min=0)
        return torch.where(self.loose, numbers.clamp(max=1), numbers)

    def gradient(self, outputs: Tensor, hidden: Tensor) -> Tensor:
        """A bound's derivatives by the numbers, from the coefficients of the outputs and the relaxation's own pre-activations."""
        return torch.where(self.loose, (self.most - self.least) * outputs.clamp(max=0), self.side) * hidden


class Activation(ABC):
    """A function of one number that is a line on both sides of zero, or encloses itself in lines as if it were."""

    @abstractmethod
    def __call__(self, z: Tensor) -> Tensor:
        """Its values."""

    @abstractmethod
    def neurons(self, lower: Tensor, upper: Tensor) -> Neurons:
        """What is known over boxes `[lower, upper]`; an infinite or NaN one gives lines that are not numbers, and proves nothing."""

    @abstractmethod
    def range(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of its values over boxes, rounded outward."""


@dataclass(frozen=True)
class Relu(Activation):
    """`max(z, 0)`: the line above through both ends of the box; any slope in [0, 1] below."""

    def __call__(self, z: Tensor) -> Tensor:
        """See `Activation`."""
        return z.relu()

    def neurons(self, lower: Tensor, upper: Tensor) -> Neurons:
        """See `Activation`; the intercept is rounded up, so that the line above holds for its stored slope."""
        loose = ~((lower >= 0) | (upper <= 0))
        active = (lower >= 0).to(lower.dtype)
        above = torch.where(loose, upper / torch.where(loose, upper - lower, torch.ones_like(upper)), active)
        # The ReLU is convex: a line above it at both ends of a box is above it in between, whatever the slope's rounding.
        ends = torch.maximum(-above * lower, upper - above * upper)
        zero = torch.zeros_like(upper)
        intercept = torch.where(loose, ends + line_slack(lower, upper), zero)
        return Neurons(loose, torch.where(loose, zero, 2 * active - 1), above, intercept)

    def range(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """See `Activation`."""
        return lower.clamp(min=0), upper.clamp(min=0)


RELU = Relu()
