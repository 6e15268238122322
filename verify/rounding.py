"""Outward error bounds: what float64 arithmetic can have lost, so that a bound stays a proof (docs/mathematics.md, "Rounding").

u = 2^-53 is the unit roundoff. A sum of n products, in any order and with or without fused operations, is off by at most
gamma_n = n u / (1 - n u) times the sum of the absolute values (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
No other file of the project writes a gamma, a slack or a step to the next number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.errors import Unsupported

if TYPE_CHECKING:
    from verify.network import ReluNetwork

UNIT_ROUNDOFF = 2.0**-53
# Numbers beyond it count as unknown, so that no product of a proof overflows and what underflows stays below TINY in every sum.
LARGEST = 1e180
# Absolute slack of every computed bound: sums of products that underflowed, each times a number of at most LARGEST.
TINY = 1e-120
# What a bound that follows from a level, a number in [-1, 1], gives away: far above the rounding of such numbers.
LEVEL_SLACK = 1e-12


def gamma(terms: int) -> float:
    """A bound on the relative error of a sum of `terms` products, doubled to cover the arithmetic of the bound itself."""
    return 2 * terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


def addends(networks: Iterable[ReluNetwork]) -> int:
    """A bound on the roundings that one product meets in any sum over these networks side by side on one input.

    The sums run over a layer's outputs (a step back), over the biases and intercepts of all layers of all networks (the constant),
    over the stacked first layers, over the inputs (a corner), one after the other.
    """
    networks = tuple(networks)
    outputs = sum(len(bias) for network in networks for bias in network.biases)
    return 4 * outputs + 2 * networks[0].input_size + 64


def up(values: Tensor) -> Tensor:
    """The next larger number: covers one correctly rounded operation."""
    return torch.nextafter(values, torch.full_like(values, torch.inf))


def down(values: Tensor) -> Tensor:
    """The next smaller number: covers one correctly rounded operation."""
    return torch.nextafter(values, torch.full_like(values, -torch.inf))


def toward(values: Tensor, dtype: torch.dtype, *, upper: bool) -> Tensor:
    """Values rounded to `dtype`, to the smallest number above or the largest below."""
    rounded = values.to(dtype)
    beyond = torch.full_like(rounded, torch.inf if upper else -torch.inf)
    wrong = rounded.to(values.dtype) < values if upper else rounded.to(values.dtype) > values
    return torch.where(wrong, torch.nextafter(rounded, beyond), rounded)


def outward(values: Tensor, *, upper: bool) -> Tensor:
    """float64 bounds as float32 numbers that are not tighter; NaN becomes the infinity that says nothing."""
    return toward(values, torch.float32, upper=upper).nan_to_num(
        torch.inf if upper else -torch.inf, torch.inf, -torch.inf
    )


def known(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of pre-activations, infinite where they are NaN or beyond LARGEST, so that they say nothing there."""
    return (
        torch.where(lower.abs() <= LARGEST, lower, -torch.inf),
        torch.where(upper.abs() <= LARGEST, upper, torch.inf),
    )


def proved(bound: Tensor) -> Tensor:
    """A computed upper bound where it is a finite number, else infinity: what overflowed proves nothing."""
    return torch.where(torch.isfinite(bound), bound, torch.inf)


def least(best: Tensor, new: Tensor) -> Tensor:
    """The smaller of two upper bounds; a new one that is NaN says nothing."""
    return torch.where(new < best, new, best)


def most(best: Tensor, new: Tensor) -> Tensor:
    """The larger of two lower bounds; a new one that is NaN says nothing."""
    return torch.where(new > best, new, best)


def affine_error(
    weight: Tensor, bias: Tensor, bias_error: Tensor, magnitude: Tensor, weight_error: Tensor | None = None
) -> Tensor:
    """Error `(n, n_k)` of one affine layer by intervals, at inputs of absolute value at most `magnitude` `(n, n_{k-1})`."""
    size = magnitude @ weight.abs().T + bias.abs()
    return 4 * gamma(weight.shape[1] + 4) * size + _stored_error(bias_error, weight_error, magnitude)


def pass_errors(network: ReluNetwork, magnitudes: Sequence[Tensor], terms: int) -> list[Tensor]:
    """Vectors `e_k` `(n, n_k)`: a backward pass with coefficients `A_k` on `z_k` is off by at most `sum_k |A_k| . e_k`.

    magnitudes: for every layer, a bound `(n, n_{k-1})` of its input's absolute value over the region. terms: `addends` of all networks
    that share a sum. The derivation: the computed coefficients are taken as chosen, and each layer's residual, at most
    gamma |A_k| |W_k|, meets the layer's bounded input. So one vector an image serves all rows, and no second pass with absolute
    values is needed.
    """
    return [
        4 * gamma(terms) * (magnitude @ weight.abs().T + bias.abs())
        + _stored_error(bias_error, weight_error, magnitude)
        for weight, bias, bias_error, weight_error, magnitude in zip(
            network.weights, network.biases, network.bias_errors, network.weight_errors, magnitudes, strict=True
        )
    ]


def product_error(one: Tensor, other: Tensor) -> Tensor:
    """A bound on the rounding error of each entry of `one @ other`, to which one more number of that size may be added."""
    return gamma(one.shape[-1] + 2) * (one.abs() @ other.abs()) + TINY


def step_error(result: Tensor) -> Tensor:
    """A bound on the error of one correctly rounded operation with this result."""
    return 2 * UNIT_ROUNDOFF * result.abs() + TINY


def grown(error: Tensor, terms: int = 4) -> Tensor:
    """An error bound, enlarged by what its own computation, a sum of `terms` products, may have lost."""
    return error * (1 + gamma(terms))


def part_of_box(lower: Tensor, upper: Tensor, share: Tensor, *, up: bool) -> Tensor:
    """The ends `(n, d)` of parts of boxes, given as shares of their half widths from -1 to 1; rounded outward, never outside the box."""
    center, half = (lower + upper) / 2, (upper - lower) / 2
    slack = 4 * UNIT_ROUNDOFF * (center.abs() + half)
    end = center + half * share
    if up:
        return torch.where(share < 1, torch.minimum(end + slack, upper), upper)
    return torch.where(share > -1, torch.maximum(end - slack, lower), lower)


def share_within(lower: Tensor, upper: Tensor, distance: Tensor) -> Tensor:
    """A distance `(n, d)` inside boxes as a share of their half widths, rounded up by more than `part_of_box` goes outward."""
    center, half = (lower + upper) / 2, (upper - lower) / 2
    return (distance * (1 + gamma(64)) + 16 * UNIT_ROUNDOFF * (center.abs() + half)) / half + gamma(64)


def line_slack(lower: Tensor, upper: Tensor) -> Tensor:
    """What a line above a function over `[lower, upper]` is raised by, for the rounding of its values at the ends."""
    return 4 * torch.finfo(lower.dtype).eps * (lower.abs() + upper.abs())


def sum_rate(terms: int) -> float:
    """The rounding error of a sum of `terms` products as a part of the sum of their absolute values, but for what underflows."""
    return gamma(terms + 64)


def sum_error(size: Tensor, terms: int) -> Tensor:
    """The rounding error of a sum of `terms` products whose absolute values sum to `size`."""
    return sum_rate(terms) * size + TINY


def head_error(size: Tensor, classes: int) -> Tensor:
    """The rounding error of the two softmaxes' constants and coefficients, `size` the absolute values that went into them."""
    return gamma(64 * (classes + 16)) * size


def softmax_error(classes: int) -> float:
    """A bound on the relative error of one confidence, the reciprocal of a sum of exponentials over `classes`."""
    return gamma(4 * (classes + 8))


def level_error(constant: Tensor, level: Tensor) -> Tensor:
    """The rounding error of a linear function's constant less a level."""
    return gamma(64) * (constant.abs() + level.abs()) + TINY


def lse_error(value: Tensor, classes: int) -> Tensor:
    """The rounding error of a log-sum-exp over `classes` and of what is computed from it, for values of size `value`."""
    return gamma(64 * (classes + 16)) * (1 + value.abs())


def _stored_error(bias_error: Tensor, weight_error: Tensor | None, magnitude: Tensor) -> Tensor:
    """What the stored numbers of a layer differ by from those of the network, at inputs of size `magnitude`."""
    if weight_error is None:
        return grown(bias_error) + TINY
    return grown(bias_error + magnitude @ weight_error.T, weight_error.shape[1] + 4) + TINY


def check_subnormals() -> None:
    """Raise `Unsupported` where the processor rounds subnormal numbers to zero: a weight may be one, and no bound would hold."""
    smallest = torch.full((2,), 2.0**-1074, dtype=torch.float64)
    if not bool((smallest + smallest > smallest).all()):
        raise Unsupported(
            "subnormal numbers are flushed to zero here, so no bound can be proved; call torch.set_flush_denormal(False)"
        )
