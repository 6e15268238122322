"""Interval arithmetic: the bounds of every layer from the bounds of the layer before it (IBP, Gowal et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.network.affine import Affine
from verify.network.graph import Network
from verify.region import Region
from verify.rounding import known, layer_error
from verify.single.layers import LayerBounds


def interval_bounds(network: Network, region: Region) -> LayerBounds:
    """Interval bounds of every layer's pre-activations."""
    bounds = LayerBounds((), ())
    for layer in network.layers:
        bounds = bounds.and_layer(*affine_interval(layer, *layer_inputs(network, bounds, region)))
    return bounds


def interval_rows(network: Network, bounds: LayerBounds, rows: Tensor, region: Region) -> tuple[Tensor, Tensor]:
    """Interval bounds `(n, r)` of `rows @ logits`, the rows `(r, classes)` combined with the last layer."""
    return affine_interval(
        network.layers[-1].combined(rows), *layer_inputs(network, bounds.upto(network.depth - 1), region)
    )


def layer_inputs(network: Network, bounds: LayerBounds, region: Region) -> tuple[Tensor, Tensor]:
    """Bounds of the inputs of the layer after those that `bounds` knows."""
    if not bounds.lower:
        return region.lower, region.upper
    return network.activations[len(bounds.lower) - 1].range(bounds.lower[-1], bounds.upper[-1])


def affine_interval(layer: Affine, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, outputs)` of a layer's output when its input lies in `[lower, upper]` `(n, inputs)`."""
    middle, spread = layer.forward((lower + upper) / 2), layer.absolute((upper - lower) / 2)
    error = layer_error(layer, torch.maximum(lower.abs(), upper.abs()))
    return known(middle - spread - error, middle + spread + error)
