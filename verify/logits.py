"""Bounds of the logit differences `d[i, j] = z_j - z_i` of one network by each one-network method."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from verify.crown import crown_bounds, optimised_bounds, optimised_rows, upper_bound
from verify.interval import LayerBounds, interval_bounds, interval_rows
from verify.linear import lp_differences
from verify.network import ReluNetwork
from verify.region import Region
from verify.softmax import box_differences, difference_rows

Differences = Callable[[ReluNetwork, Region, LayerBounds | None], tuple[Tensor, Tensor]]


def interval_differences(
    network: ReluNetwork, region: Region, layers: LayerBounds | None = None
) -> tuple[Tensor, Tensor]:
    """Interval arithmetic, each row `e_j - e_i` merged into the last layer: lower and upper `(n, C, C)`."""
    rows = difference_rows(network.classes, network.dtype, network.device)
    lower, upper = interval_rows(network, interval_bounds(network, region), rows, region)
    return _square(lower, network), _square(upper, network)


def crown_box_differences(
    network: ReluNetwork, region: Region, layers: LayerBounds | None = None
) -> tuple[Tensor, Tensor]:
    """Eq. 9 as printed: differences of CROWN's logit boxes."""
    layers = layers or crown_bounds(network, region)
    return box_differences(layers.lower[-1], layers.upper[-1])


def crown_differences(network: ReluNetwork, region: Region, layers: LayerBounds | None = None) -> tuple[Tensor, Tensor]:
    """CROWN of every row `e_j - e_i`, much tighter than differences of boxes."""
    layers = layers or crown_bounds(network, region)
    rows = difference_rows(network.classes, network.dtype, network.device)
    return _from_upper(upper_bound(network, region, layers, rows), network)


def alpha_crown_differences(
    network: ReluNetwork, region: Region, layers: LayerBounds | None = None
) -> tuple[Tensor, Tensor]:
    """CROWN with slopes optimised for every unstable neuron's bounds, then for every row."""
    layers = optimised_bounds(network, region, layers or crown_bounds(network, region))
    rows = difference_rows(network.classes, network.dtype, network.device)
    return _from_upper(optimised_rows(network, region, layers, rows), network)


DIFFERENCES: dict[str, Differences] = {
    "interval": interval_differences,
    "crown-boxes": crown_box_differences,
    "crown": crown_differences,
    "alpha-crown": alpha_crown_differences,
    "lp": lp_differences,
}


def _square(values: Tensor, network: ReluNetwork) -> Tensor:
    return values.reshape(len(values), network.classes, network.classes)


def _from_upper(upper: Tensor, network: ReluNetwork) -> tuple[Tensor, Tensor]:
    """`d[i, j] = -d[j, i]`, so the upper bounds of all rows give the lower bounds too."""
    square = _square(upper, network)
    return -square.transpose(1, 2), square
