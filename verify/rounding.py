"""Outward error bounds: what float64 arithmetic can have lost, so that a bound stays a proof (docs/mathematics.md, "Rounding").

u = 2^-53 is the unit roundoff. A sum of n products, in any order and with or without fused operations, is off by at most
gamma_n = n u / (1 - n u) times the sum of the absolute values (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.network import UNIT_ROUNDOFF, ReluNetwork

# Absolute slack for results that underflow, far above n times the smallest subnormal number and far below anything of interest.
UNDERFLOW = 1e-290


def gamma(terms: int) -> float:
    """A bound on the relative error of a sum of `terms` products, doubled to cover the arithmetic of the bound itself."""
    return 2 * terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF)


def up(values: Tensor) -> Tensor:
    """The next larger number: covers one correctly rounded operation."""
    return torch.nextafter(values, torch.full_like(values, torch.inf))


def down(values: Tensor) -> Tensor:
    """The next smaller number: covers one correctly rounded operation."""
    return torch.nextafter(values, torch.full_like(values, -torch.inf))


def affine_error(weight: Tensor, bias: Tensor, bias_error: Tensor, magnitude: Tensor) -> Tensor:
    """Error `(n, n_k)` of evaluating one affine layer at inputs of absolute value at most `magnitude` `(n, n_{k-1})`."""
    terms = weight.shape[1] + 4
    size = magnitude @ weight.abs().T + bias.abs()
    return gamma(terms) * size + bias_error * (1 + gamma(4)) + UNDERFLOW


def row_error_weights(network: ReluNetwork, magnitudes: list[Tensor]) -> list[Tensor]:
    """Vectors `e_k` `(n, n_k)`: a backward pass with coefficients `A_k` on `z_k` is off by at most `sum_k |A_k| . e_k`.

    magnitudes: for every layer, a bound `(n, n_{k-1})` of its input's absolute value over the region. The derivation: the computed
    coefficients are taken as chosen, and each layer's residual, at most gamma |A_k| |W_k|, meets the layer's bounded input. So one
    vector an image serves all rows, and no second pass with absolute values is needed.
    """
    weights = []
    for weight, bias, bias_error, magnitude in zip(
        network.weights, network.biases, network.bias_errors, magnitudes, strict=True
    ):
        terms = max(weight.shape) + 4 * network.depth + 16
        size = magnitude @ weight.abs().T + bias.abs()
        weights.append(4 * gamma(terms) * size + bias_error * (1 + gamma(4)) + UNDERFLOW)
    return weights
