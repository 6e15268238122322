"""Both networks stacked on their shared input: one linear form of both networks' logits sent back to the input and forth again.

Everything is flat: one row for each (image, query, node), and the hidden neurons of teacher and student side by side in one vector of
`width` entries, so that a step is a handful of small products and a single product with the stacked first layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.interval import LayerBounds
from verify.network import ReluNetwork
from verify.rounding import addends, line_slack


@dataclass(frozen=True)
class Pair:
    """Teacher and student in one type. first: the stacked first layers `(n_t + n_s, d)`; places: every hidden layer's slice of the
    stacked vector of neurons, teacher's then student's; later_biases `(width,)`: of all hidden layers, the first layers' set to 0."""

    networks: tuple[ReluNetwork, ...]
    first: Tensor
    first_bias: Tensor
    places: tuple[tuple[slice, ...], ...]
    later_biases: Tensor

    @classmethod
    def of(cls, networks: Sequence[ReluNetwork], dtype: torch.dtype) -> Pair:
        """Stack the networks, converted to `dtype`."""
        networks = tuple(network.to(dtype=dtype) for network in networks)
        places, start = [], 0
        for network in networks:
            mine = []
            for bias in network.biases[:-1]:
                mine.append(slice(start, start + len(bias)))
                start += len(bias)
            places.append(tuple(mine))
        hidden = [
            torch.zeros_like(bias) if k == 0 else bias
            for network in networks
            for k, bias in enumerate(network.biases[:-1])
        ]
        return cls(
            networks,
            torch.cat([network.weights[0] for network in networks]),
            torch.cat([network.biases[0] for network in networks]),
            tuple(places),
            torch.cat(hidden) if hidden else networks[0].biases[0].new_zeros(0),
        )

    @property
    def width(self) -> int:
        """Number of hidden neurons of both networks."""
        return len(self.later_biases)

    @property
    def terms(self) -> int:
        """Addends of a sum over all of the networks, for its rounding error."""
        return addends(self.networks)

    def stack(self, teacher: LayerBounds, student: LayerBounds) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds `(n, width)` of all hidden neurons."""
        n = len(teacher.lower[0])
        lower = [*teacher.lower[:-1], *student.lower[:-1]] or [teacher.lower[0].new_zeros((n, 0))]
        upper = [*teacher.upper[:-1], *student.upper[:-1]] or [teacher.upper[0].new_zeros((n, 0))]
        return torch.cat(lower, dim=1), torch.cat(upper, dim=1)


@dataclass(frozen=True)
class Lines:
    """The lines that enclose every ReLU of every row, each `(n, width)`.

    above, intercept: the upper line; below: the lower line's slope; multiplier: what is added to the coefficient of the
    pre-activation, `beta` where the neuron is known active, `-beta` where it is known inactive.
    """

    above: Tensor
    intercept: Tensor
    below: Tensor
    multiplier: Tensor


@dataclass(frozen=True)
class Neurons:
    """What is known of every hidden neuron of every row: the upper line of the unstable ones and the sign of the others.

    Each `(n, width)`; sign is +1 for active, -1 for inactive, 0 for unstable.
    """

    above: Tensor
    intercept: Tensor
    unstable: Tensor
    sign: Tensor

    @classmethod
    def of(cls, lower: Tensor, upper: Tensor) -> Neurons:
        """Read the bounds `(n, width)`; the intercept is rounded up so that the upper line holds for the stored slope."""
        unstable = (lower < 0) & (upper > 0)
        active = (lower >= 0).to(lower.dtype)
        above = torch.where(unstable, upper / torch.where(unstable, upper - lower, torch.ones_like(upper)), active)
        ends = torch.maximum(-above * lower, upper - above * upper)
        intercept = torch.where(unstable, ends + line_slack(lower, upper), torch.zeros_like(upper))
        sign = torch.where(unstable, torch.zeros_like(upper), 2 * active - 1)
        return cls(above, intercept, unstable, sign)

    def lines(self, slopes: Tensor) -> Lines:
        """slopes `(n, width)`: the lower line's slope in [0, 1] where unstable, the multiplier >= 0 where not."""
        return Lines(self.above, self.intercept, torch.where(self.unstable, slopes, self.above), slopes * self.sign)


@dataclass(frozen=True)
class Descent:
    """A linear form on its way to the input. outputs, inputs `(n, width)`: coefficients of every ReLU's output and of its input;
    rising, slopes `(n, width)`: 1 where the upper line was taken, and the slope of the line taken; first `(n, n_t + n_s)`:
    coefficients of the first layers' outputs."""

    outputs: Tensor
    inputs: Tensor
    rising: Tensor
    slopes: Tensor
    first: Tensor


def send_back(pair: Pair, lines: Lines, forms: Sequence[Tensor]) -> Descent:
    """Send the coefficients `forms` `(n, C)` of the teacher's and the student's logits back to the first layers' outputs."""
    outputs, inputs, rising, slopes = (torch.empty_like(lines.above) for _ in range(4))
    ends = []
    for network, places, form in zip(pair.networks, pair.places, forms, strict=True):
        a = form
        for place, weight in zip(reversed(places), reversed(network.weights[1:]), strict=True):
            c = a @ weight
            up = (c > 0).to(c.dtype)
            slope = torch.lerp(lines.below[:, place], lines.above[:, place], up)
            a = torch.addcmul(lines.multiplier[:, place], c, slope)
            outputs[:, place], inputs[:, place], rising[:, place], slopes[:, place] = c, a, up, slope
        ends.append(a)
    return Descent(outputs, inputs, rising, slopes, torch.cat(ends, dim=1))


def send_forth(pair: Pair, lines: Lines, descent: Descent, first: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The relaxation's own point, which is the gradient of the bound: pre-activations `(n, width)`, both networks' logits `(n, C)`.

    first `(n, n_t + n_s)`: the first layers' outputs at the corner that the bound rests on.
    """
    hidden, logits, start = torch.empty_like(lines.above), [], 0
    lifts = descent.rising * lines.intercept
    for network, places in zip(pair.networks, pair.places, strict=True):
        width = len(network.biases[0])
        z = first[:, start : start + width]
        start += width
        for place, weight, bias in zip(places, network.weights[1:], network.biases[1:], strict=True):
            hidden[:, place] = z
            z = torch.addmm(bias, torch.addcmul(lifts[:, place], z, descent.slopes[:, place]), weight.T)
        logits.append(z)
    return hidden, logits


def dot(one: Tensor, other: Tensor) -> Tensor:
    """The products of the rows of two `(n, d)` tensors, `(n,)`."""
    products: Tensor = torch.linalg.vecdot(one, other)
    return products
