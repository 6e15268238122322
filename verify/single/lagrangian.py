"""A proof from multipliers: the Lagrangian bound of the triangle relaxation, for whatever multipliers a solver suggests.

Over the box and the triangles, with `y_k` the outputs and `z_k` the pre-activations of hidden layer `k`, a row `c` of the logits is

    c . (W_L y_{L-1} + b_L) + sum_k lambda_k . (W_k y_{k-1} + b_k - z_k),

since every added term is zero. Its largest value falls apart, a neuron and an input at a time. With `a_k = W_{k+1}' lambda_{k+1}`,
`lambda_L = c`, it is

    sum_k lambda_k . b_k + max over the box of a_0 . x + sum over neurons of max over the triangle of (a y - lambda z),

and the triangle's corners `(y, z) = (0, l), (0, 0), (u, u)` give `max(-lambda l, 0, (a - lambda) u)`. Any lambda is sound. The choice
`lambda = a u / (u - l)` for a > 0 and `lambda = alpha a` for a < 0 is CROWN with lower slope alpha (Wong and Kolter 2018; Salman et
al. 2019), so CROWN, optimised slopes and the linear program's optimum are three values of one function; the last is its smallest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.network.graph import Network
from verify.region import Region, dot
from verify.rounding import addends, pass_errors, proved, sum_error
from verify.single.layers import LayerBounds


def lagrangian_bound(
    network: Network, region: Region, bounds: LayerBounds, rows: Tensor, multipliers: list[Tensor]
) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ logits`, rounded outward; rows `(n, r, classes)`, one multiplier tensor `(n, r, n_k)` a
    hidden layer.

    Stable neurons take the multiplier that leaves nothing over, whatever is given for them.
    """
    terms = addends((network,))
    rounding = [own[:, None] for own in pass_errors(network.layers, bounds.magnitudes(network, region), terms)]
    current, layers = rows, network.layers
    value, error = rows @ layers[-1].bias, dot(rows.abs(), rounding[-1])
    for k in range(network.depth - 2, -1, -1):
        lower, upper = bounds.lower[k][:, None], bounds.upper[k][:, None]
        unstable = (lower < 0) & (upper > 0)
        outputs = layers[k + 1].adjoint(current)
        current = torch.where(unstable, multipliers[k], torch.where(lower >= 0, outputs, torch.zeros_like(outputs)))
        over = torch.maximum(-current * lower, (outputs - current) * upper).clamp(min=0)
        value = value + (over * unstable).sum(-1) + current @ layers[k].bias
        reach = torch.maximum(lower.abs(), upper.abs()) * unstable
        error = error + sum_error(((current.abs() + outputs.abs()) * reach).sum(-1), terms)
        error = error + dot(current.abs(), rounding[k])
    at_input = layers[0].adjoint(current)
    return proved(value + region.support(at_input) + error)
