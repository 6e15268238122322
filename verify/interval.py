"""Interval arithmetic: the bounds of every layer from the bounds of the layer before it (IBP, Gowal et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.network import ReluNetwork
from verify.region import Region
from verify.rounding import affine_error, known, product_error


@dataclass(frozen=True)
class LayerBounds:
    """Bounds of the pre-activations `z_k` of every affine layer over a region, rounded outward; the last are the logits.

    lower, upper: one `(n, n_k)` tensor a layer; infinite where they are not known, be it that they are NaN or larger than any proof may
    use (`verify.rounding.known`).
    """

    lower: tuple[Tensor, ...]
    upper: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        pairs = [known(*pair) for pair in zip(self.lower, self.upper, strict=True)]
        object.__setattr__(self, "lower", tuple(low for low, _ in pairs))
        object.__setattr__(self, "upper", tuple(high for _, high in pairs))

    def finite(self) -> Tensor:
        """`(n,)` truth values: the images all of whose bounds are known."""
        return torch.stack([torch.isfinite(side).all(dim=1) for side in (*self.lower, *self.upper)]).all(dim=0)

    def __getitem__(self, index: slice | Tensor) -> LayerBounds:
        """The bounds of some images."""
        return LayerBounds(tuple(t[index] for t in self.lower), tuple(t[index] for t in self.upper))

    def replaced(self, images: Tensor, new: LayerBounds) -> LayerBounds:
        """The same with the bounds of the images `(m,)` from `new`."""
        pairs = zip((*self.lower, *self.upper), (*new.lower, *new.upper), strict=True)
        both = tuple(old.index_copy(0, images, own) for old, own in pairs)
        return LayerBounds(both[: len(self.lower)], both[len(self.lower) :])

    def unstable(self) -> tuple[Tensor, ...]:
        """Truth values `(n, n_k)` for every hidden layer: can the neuron be on either side of zero."""
        return tuple((low < 0) & (high > 0) for low, high in zip(self.lower[:-1], self.upper[:-1], strict=True))


def interval_bounds(network: ReluNetwork, region: Region) -> LayerBounds:
    """Interval bounds of every layer's pre-activations."""
    lower, upper = region.lower, region.upper
    lowers, uppers = [], []
    for k in range(network.depth):
        if k > 0:
            lower, upper = lower.clamp(min=0), upper.clamp(min=0)
        lower, upper = affine_interval(network, k, lower, upper)
        lowers.append(lower)
        uppers.append(upper)
    return LayerBounds(tuple(lowers), tuple(uppers))


def affine_interval(network: ReluNetwork, k: int, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, n_k)` of layer `k`'s output when its input lies in `[lower, upper]` `(n, n_{k-1})`."""
    weight, bias = network.weights[k], network.biases[k]
    center, radius = (lower + upper) / 2, (upper - lower) / 2
    middle = center @ weight.T + bias
    spread = radius @ weight.abs().T
    magnitude = torch.maximum(lower.abs(), upper.abs())
    error = affine_error(weight, bias, network.bias_errors[k], magnitude, network.weight_errors[k])
    return known(middle - spread - error, middle + spread + error)


def interval_rows(network: ReluNetwork, bounds: LayerBounds, rows: Tensor, region: Region) -> tuple[Tensor, Tensor]:
    """Interval bounds `(n, r)` of `rows @ logits`, the rows `(r, classes)` merged into the last layer."""
    weight, bias, weight_error = network.weights[-1], network.biases[-1], network.weight_errors[-1]
    stored = 0.0 if weight_error is None else rows.abs() @ weight_error
    merged = ReluNetwork(
        (rows @ weight,),
        (rows @ bias,),
        (product_error(rows, bias) + rows.abs() @ network.bias_errors[-1],),
        (product_error(rows, weight) + stored,),
    )
    if network.depth == 1:
        return affine_interval(merged, 0, region.lower, region.upper)
    return affine_interval(merged, 0, bounds.lower[-2].clamp(min=0), bounds.upper[-2].clamp(min=0))
