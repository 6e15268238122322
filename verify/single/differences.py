"""Bounds of the logit differences `d[i, j] = z_j - z_i` of one network by each one-network method (Lamb et al. 2023, Eq. 9)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from verify.network.graph import Network
from verify.region import Region
from verify.rounding import up
from verify.single.crown import crown_bounds, optimised_bounds, optimised_rows, upper_bound
from verify.single.interval import interval_bounds, interval_rows
from verify.single.layers import LayerBounds
from verify.single.lp import lp_upper_bound

Differences = Callable[[Network, Region, LayerBounds | None], tuple[Tensor, Tensor]]


def difference_rows(network: Network) -> Tensor:
    """The rows `(classes^2, classes)` of all logit differences: row `i * classes + j` is `e_j - e_i`."""
    identity = torch.eye(network.classes, dtype=network.dtype, device=network.device)
    return (identity[None, :, :] - identity[:, None, :]).flatten(0, 1)


def box_differences(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 9 as printed: bounds `(n, C, C)` of `d[i, j]` from logit boxes `(n, C)`, rounded outward."""
    low = -up(upper[:, :, None] - lower[:, None, :])
    high = up(upper[:, None, :] - lower[:, :, None])
    diagonal = torch.eye(lower.shape[1], dtype=torch.bool, device=lower.device)
    return low.masked_fill(diagonal, 0.0), high.masked_fill(diagonal, 0.0)


def from_upper(upper: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, C, C)` from the upper bounds `(n, C^2)` or `(n, C, C)` of all rows: `d[i, j] = -d[j, i]`."""
    classes = round(upper[0].numel() ** 0.5)
    square = upper.reshape(-1, classes, classes)
    return -square.transpose(1, 2), square


def interval_differences(network: Network, region: Region, layers: LayerBounds | None = None) -> tuple[Tensor, Tensor]:
    """Interval arithmetic, each row `e_j - e_i` combined with the last layer: lower and upper `(n, C, C)`."""
    bounds = interval_bounds(network, region)
    lower, upper = interval_rows(network, bounds, difference_rows(network), region)
    return lower.reshape(len(region), network.classes, -1), upper.reshape(len(region), network.classes, -1)


def crown_box_differences(network: Network, region: Region, layers: LayerBounds | None = None) -> tuple[Tensor, Tensor]:
    """Eq. 9 as printed: differences of CROWN's logit boxes."""
    layers = layers or crown_bounds(network, region)
    return box_differences(layers.lower[-1], layers.upper[-1])


def crown_differences(network: Network, region: Region, layers: LayerBounds | None = None) -> tuple[Tensor, Tensor]:
    """CROWN of every row `e_j - e_i`, much tighter than differences of boxes: the two logits' coefficients cancel on the way."""
    layers = layers or crown_bounds(network, region)
    return from_upper(upper_bound(network, region, layers, difference_rows(network)))


def alpha_crown_differences(
    network: Network, region: Region, layers: LayerBounds | None = None
) -> tuple[Tensor, Tensor]:
    """CROWN with slopes optimised for every loose neuron's bounds, then for every row."""
    layers = optimised_bounds(network, region, layers or crown_bounds(network, region))
    return from_upper(optimised_rows(network, region, layers, difference_rows(network)))


def lp_differences(network: Network, region: Region, layers: LayerBounds | None = None) -> tuple[Tensor, Tensor]:
    """Each row by its own linear program, rounded outward through its multipliers."""
    layers = layers or crown_bounds(network, region)
    return from_upper(lp_upper_bound(network, region, layers, difference_rows(network)))


DIFFERENCES: dict[str, Differences] = {
    "interval": interval_differences,
    "crown-boxes": crown_box_differences,
    "crown": crown_differences,
    "alpha-crown": alpha_crown_differences,
    "lp": lp_differences,
}
