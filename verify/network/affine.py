"""Affine layers. What the rest asks of one stands in `Affine`; nobody else knows how its weights are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from verify.rounding import product_error


class Affine(ABC):
    """`z = W h + b`, known up to `|W - W_stored|` and `|b - b_stored|`. All tensors have the same type and device.

    bias, bias_error: `(outputs,)`.
    """

    bias: Tensor
    bias_error: Tensor

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Length of h."""

    @property
    def outputs(self) -> int:
        """Length of z."""
        return len(self.bias)

    @property
    @abstractmethod
    def terms(self) -> int:
        """The most products in one output of `forward` or of `adjoint`."""

    @abstractmethod
    def forward(self, h: Tensor) -> Tensor:
        """`W h + b`, `(..., outputs)`, of `(..., inputs)`."""

    @abstractmethod
    def linear(self, h: Tensor) -> Tensor:
        """`W h`, `(..., outputs)`, of `(..., inputs)`."""

    @abstractmethod
    def adjoint(self, a: Tensor) -> Tensor:
        """`a W`, `(..., inputs)`, of `(..., outputs)`."""

    @abstractmethod
    def absolute(self, r: Tensor) -> Tensor:
        """`|W| r`, `(..., outputs)`, of `(..., inputs)`."""

    @abstractmethod
    def stored_error(self, magnitude: Tensor) -> Tensor:
        """What the stored numbers may be off by, `(..., outputs)`, at inputs of absolute value at most `magnitude` `(..., inputs)`."""

    @abstractmethod
    def combined(self, rows: Tensor) -> Affine:
        """The layer `rows z`, rows `(r, outputs)`."""

    @abstractmethod
    def matrix(self) -> Tensor | None:
        """W `(outputs, inputs)`, where there is one."""

    @abstractmethod
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same on another device or in another type."""


@dataclass(frozen=True)
class Dense(Affine):
    """An affine layer by its matrix: weight `(outputs, inputs)`; weight_error of the same shape, None for an exact one."""

    weight: Tensor
    bias: Tensor
    bias_error: Tensor
    weight_error: Tensor | None = None

    @property
    def inputs(self) -> int:
        """See `Affine`."""
        return self.weight.shape[1]

    @property
    def terms(self) -> int:
        """See `Affine`."""
        return max(self.weight.shape)

    def forward(self, h: Tensor) -> Tensor:
        """See `Affine`."""
        return torch.nn.functional.linear(h, self.weight, self.bias)

    def linear(self, h: Tensor) -> Tensor:
        """See `Affine`."""
        return h @ self.weight.T

    def adjoint(self, a: Tensor) -> Tensor:
        """See `Affine`."""
        return a @ self.weight

    def absolute(self, r: Tensor) -> Tensor:
        """See `Affine`."""
        return r @ self._sizes.T

    @cached_property
    def _sizes(self) -> Tensor:
        return self.weight.abs()

    def stored_error(self, magnitude: Tensor) -> Tensor:
        """See `Affine`."""
        if self.weight_error is None:
            return self.bias_error
        return self.bias_error + magnitude @ self.weight_error.T

    def combined(self, rows: Tensor) -> Dense:
        """See `Affine`."""
        stored = 0.0 if self.weight_error is None else rows.abs() @ self.weight_error
        return Dense(
            rows @ self.weight,
            rows @ self.bias,
            product_error(rows, self.bias) + rows.abs() @ self.bias_error,
            product_error(rows, self.weight) + stored,
        )

    def matrix(self) -> Tensor:
        """See `Affine`."""
        return self.weight

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Dense:
        """See `Affine`."""
        error = None if self.weight_error is None else self.weight_error.to(device=device, dtype=dtype)
        weight, bias, bias_error = (t.to(device=device, dtype=dtype) for t in (self.weight, self.bias, self.bias_error))
        return Dense(weight, bias, bias_error, error)
