"""Backward linear bounds of a ReLU network (CROWN, Zhang et al. 2018) and their optimised slopes (alpha-CROWN, Xu et al. 2021).

A row `a . z` of pre-activations is bounded from above by sending its coefficients back through the layers: an unstable neuron
`l < 0 < u` gets the upper line `u (z - l) / (u - l)` where its coefficient is positive and the lower line `alpha z`, `alpha` in
[0, 1], where it is negative. The bound at the input is a linear function; its largest value over the box is at a corner.
A lower bound is minus the upper bound of the negated row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.interval import LayerBounds, affine_interval
from verify.native.search import Bounds, Kernel
from verify.network import ReluNetwork
from verify.pair import Pair
from verify.region import Region
from verify.rounding import TINY, addends, least, line_slack, most, pass_errors, proved
from verify.schedule import Schedule

Slopes = Sequence[Tensor]


@dataclass(frozen=True)
class Relaxation:
    """Lines that enclose the ReLUs of one layer over `[l, u]`: `lower_slope z <= relu(z) <= upper_slope z + intercept`.

    Each `(n, n_k)`. intercept is rounded up, so that the upper line holds for the stored slope; any lower slope in [0, 1] is sound.
    """

    upper_slope: Tensor
    intercept: Tensor
    lower_slope: Tensor

    @classmethod
    def of(cls, lower: Tensor, upper: Tensor) -> Relaxation:
        """Textbook lines with the adaptive lower slope: 1 where `u > -l`, else 0."""
        unstable = (lower < 0) & (upper > 0)
        active = (lower >= 0).to(lower.dtype)
        width = torch.where(unstable, upper - lower, torch.ones_like(upper))
        slope = torch.where(unstable, upper / width, active)
        # The ReLU is convex: a line above it at both ends of [l, u] is above it in between, whatever the slope's rounding.
        ends = torch.maximum(-slope * lower, upper - slope * upper)
        intercept = torch.where(unstable, ends + line_slack(lower, upper), torch.zeros_like(upper))
        adaptive = torch.where(unstable, (upper > -lower).to(lower.dtype), active)
        return cls(slope, intercept, adaptive)


def crown_bounds(network: ReluNetwork, region: Region) -> LayerBounds:
    """CROWN bounds of every layer's pre-activations, each layer relaxed with the CROWN bounds of those before it."""
    low, high = affine_interval(network, 0, region.lower, region.upper)
    bounds = LayerBounds((low,), (high,))
    for k in range(1, network.depth):
        identity = torch.eye(network.weights[k].shape[0], dtype=network.dtype, device=network.device)
        low, high = crown_rows(network, region, bounds, identity, layer=k)
        bounds = LayerBounds((*bounds.lower, low), (*bounds.upper, high))
    return bounds


def crown_rows(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    layer: int = -1,
    slopes: tuple[Slopes | None, Slopes | None] = (None, None),
) -> tuple[Tensor, Tensor]:
    """CROWN bounds `(n, r)` of `rows @ z_layer`; rows `(r, n_layer)` or `(n, r, n_layer)`, the last layer unless told otherwise.

    slopes: the lower slopes for the lower and for the upper bound, one tensor `(n, r, n_k)` or `(n, 1, n_k)` a hidden layer below
    `layer`, in [0, 1]; None for the adaptive ones.
    """
    upper = upper_bound(network, region, bounds, rows, layer=layer, slopes=slopes[1])
    lower = -upper_bound(network, region, bounds, -rows, layer=layer, slopes=slopes[0])
    return lower, upper


def upper_bound(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    layer: int = -1,
    slopes: Slopes | None = None,
) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ z_layer` over the region, rounded outward; infinite where something overflowed."""
    value, error = propagate(network, region, bounds, rows, layer=layer, slopes=slopes)
    return proved(value + error)


def propagate(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    layer: int = -1,
    slopes: Slopes | None = None,
) -> tuple[Tensor, Tensor]:
    """The computed upper bound `(n, r)` of `rows @ z_layer` and a bound on its rounding error, apart."""
    top = layer % network.depth
    below = network[: top + 1]
    errors = pass_errors(below, input_magnitudes(region, bounds, top), addends((below,)))
    coefficients = rows.expand(len(region), *rows.shape[-2:])
    constant = torch.zeros(coefficients.shape[:2], dtype=rows.dtype, device=rows.device)
    error = torch.full_like(constant, TINY)
    for k in range(top, -1, -1):
        error = error + _dot(coefficients.abs(), errors[k])
        constant = constant + coefficients @ network.biases[k]
        coefficients = coefficients @ network.weights[k]
        if k > 0:
            relaxation = Relaxation.of(bounds.lower[k - 1], bounds.upper[k - 1])
            coefficients, shift = relax(
                coefficients, bounds, k - 1, relaxation, None if slopes is None else slopes[k - 1]
            )
            constant = constant + shift
    return constant + largest_over_box(coefficients, region), error


def relax(
    coefficients: Tensor, bounds: LayerBounds, k: int, relaxation: Relaxation, slope: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Coefficients `(n, r, n_k)` of ReLUs turned into coefficients of their inputs `z_k`, and the constant `(n, r)`."""
    if slope is None:
        lower_slope = relaxation.lower_slope[:, None]
    else:
        unstable = (bounds.lower[k] < 0) & (bounds.upper[k] > 0)
        lower_slope = torch.where(unstable[:, None], slope.clamp(0, 1), relaxation.lower_slope[:, None])
    positive = coefficients.clamp(min=0)
    negative = coefficients.clamp(max=0)
    return (
        positive * relaxation.upper_slope[:, None] + negative * lower_slope,
        _dot(positive, relaxation.intercept),
    )


def largest_over_box(coefficients: Tensor, region: Region) -> Tensor:
    """The largest value `(n, r)` of `coefficients . x` over the box, coefficients `(n, r, d)`."""
    lower, upper = region.lower.to(coefficients.dtype), region.upper.to(coefficients.dtype)
    return _dot(coefficients, (lower + upper) / 2) + _dot(coefficients.abs(), (upper - lower) / 2)


def input_magnitudes(region: Region, bounds: LayerBounds, top: int) -> list[Tensor]:
    """Bounds of the absolute value of every layer's input: the region's for the first, the ReLUs' for the others."""
    magnitudes = [torch.maximum(region.lower.abs(), region.upper.abs())]
    for k in range(top):
        magnitudes.append(torch.maximum(bounds.upper[k].abs(), bounds.lower[k].abs()))
    return magnitudes


def optimised_bounds(network: ReluNetwork, region: Region, bounds: LayerBounds) -> LayerBounds:
    """Bounds of every layer, never wider than `bounds`, with slopes optimised for each unstable neuron, layer after layer."""
    lowers, uppers = [bounds.lower[0]], [bounds.upper[0]]
    for k in range(1, network.depth):
        low, high = bounds.lower[k], bounds.upper[k]
        chosen = ((low < 0) & (high > 0)) if k + 1 < network.depth else torch.ones_like(low, dtype=torch.bool)
        count = int(chosen.sum(dim=1).max())
        if count > 0:
            neurons = chosen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
            rows = torch.nn.functional.one_hot(neurons, low.shape[1]).to(low.dtype)
            below = LayerBounds(tuple(lowers), tuple(uppers))
            tightened = optimised_rows(network, region, below, torch.cat((rows, -rows), dim=1), layer=k)
            high = high.scatter(1, neurons, least(high.gather(1, neurons), tightened[:, :count]))
            low = low.scatter(1, neurons, most(low.gather(1, neurons), -tightened[:, count:]))
        lowers.append(low)
        uppers.append(high)
    return LayerBounds(tuple(lowers), tuple(uppers))


def optimised_rows(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    layer: int = -1,
    steps: int = 20,
    learning_rate: float = 0.3,
) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ z_layer` with slopes optimised for each row by Adam, the bounds below kept.

    The search for slopes ends with one rigorous pass; the result is never above the bound of the adaptive slopes.
    """
    top = layer % network.depth
    adaptive = upper_bound(network, region, bounds, rows, layer=top)
    if top == 0:
        return adaptive
    rows = rows.expand(len(region), *rows.shape[-2:])
    below = network[: top + 1]
    quick = Pair.of((below,), torch.float32)
    if Kernel.fits(quick, with_head=False):
        schedule = Schedule(steps=steps, slopes=learning_rate, multipliers=0, decay=0.95)
        best = _compiled_slopes(quick, below, region, bounds, rows, schedule)
    else:
        best = _slopes(network, region, bounds, rows, top, steps, learning_rate)
    return least(adaptive, upper_bound(network, region, bounds, rows, layer=top, slopes=best))


def _compiled_slopes(
    quick: Pair, below: ReluNetwork, region: Region, bounds: LayerBounds, rows: Tensor, schedule: Schedule
) -> list[Tensor]:
    """Slopes `(n, r, n_k)` of every hidden layer by the compiled search."""
    n, r, _ = rows.shape
    center = (region.lower + region.upper) / 2
    middle = (center @ below.weights[0].T + below.biases[0]).float()
    radius = ((region.upper - region.lower) / 2).float()
    hidden = range(below.depth - 1)
    image = torch.arange(n).repeat_interleave(r)
    lower, upper = (torch.cat([side[k] for k in hidden], dim=1).float()[image] for side in (bounds.lower, bounds.upper))
    slopes = ((lower < 0) & (upper > 0) & (upper > -lower)).float()
    found = Kernel(quick).search(
        Bounds(image, lower, upper, middle, radius), slopes, rows.reshape(n * r, -1).float(), schedule
    )
    widths = [bounds.lower[k].shape[1] for k in hidden]
    return [part.reshape(n, r, -1).to(rows.dtype) for part in found.slopes.split(widths, dim=1)]  # type: ignore[no-untyped-call]


def _slopes(
    network: ReluNetwork, region: Region, bounds: LayerBounds, rows: Tensor, top: int, steps: int, learning_rate: float
) -> list[Tensor]:
    """The same by automatic differentiation."""
    slopes = [
        Relaxation.of(bounds.lower[k], bounds.upper[k]).lower_slope[:, None].expand(-1, rows.shape[-2], -1).clone()
        for k in range(top)
    ]
    for slope in slopes:
        slope.requires_grad_(True)
    best = [slope.detach().clone() for slope in slopes]
    least = rows.new_full(rows.shape[:2], torch.inf)
    optimiser = torch.optim.Adam(slopes, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.95)
    for step in range(steps + 1):
        value, _ = propagate(network, region, bounds, rows, layer=top, slopes=slopes)
        with torch.no_grad():
            better = value < least
            least = torch.where(better, value, least)
            best = [torch.where(better[..., None], new, old) for new, old in zip(slopes, best, strict=True)]
        if step == steps:
            break
        optimiser.zero_grad()
        value.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for slope in slopes:
                slope.clamp_(0, 1)
    return best


def _dot(coefficients: Tensor, vector: Tensor) -> Tensor:
    """`(n, r, d)` with `(n, d)` to `(n, r)`."""
    return torch.matmul(coefficients, vector[:, :, None]).squeeze(-1)
