"""What is bounded: a function of networks' outputs, by linear forms of them that depend on free numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Point:
    """An objective at one choice of its free numbers, for n rows: the function is at most `value + sum_k forms_k . z_k`.

    value `(n,)`; forms: coefficients `(n, C)` of each network's outputs; sizes: the absolute values that they were summed from.
    """

    value: Tensor
    forms: tuple[Tensor, ...]
    sizes: tuple[Tensor, ...]


@dataclass(frozen=True)
class Compiled:
    """What the compiled search wants of an objective that it knows: the class and sign of each row, and the rates of its numbers."""

    label: Tensor
    sign: Tensor
    rates: tuple[float, float, float, float]


class Objective(ABC):
    """An objective of n rows.

    least, rates `(numbers,)`: the smallest value of each free number and the rate of its search. compiled: None unless the compiled search
    knows it.
    """

    least: Tensor
    rates: Tensor
    compiled: Compiled | None = None

    @abstractmethod
    def at(self, free: Tensor) -> Point:
        """Evaluate it at `free` `(n, numbers)`; any numbers are sound."""

    @abstractmethod
    def gradient(self, free: Tensor, point: Point, outputs: list[Tensor]) -> Tensor:
        """The bound's derivatives `(n, numbers)` where the relaxation's own outputs are `outputs`, `(n, C)` each."""

    @abstractmethod
    def error(self, point: Point) -> Tensor:
        """The rounding error `(n,)` of the point's value and of its forms' coefficients over what is known of the outputs."""


class Fixed(Objective):
    """Given forms: coefficients `(n, C)` of each network's outputs, and no free number."""

    def __init__(self, forms: tuple[Tensor, ...]) -> None:
        self._forms = forms
        self.least = self.rates = forms[0].new_zeros(0)

    def at(self, free: Tensor) -> Point:
        """See `Objective`."""
        return Point(free.new_zeros(len(free)), self._forms, tuple(form.abs() for form in self._forms))

    def gradient(self, free: Tensor, point: Point, outputs: list[Tensor]) -> Tensor:
        """See `Objective`."""
        return torch.zeros_like(free)

    def error(self, point: Point) -> Tensor:
        """See `Objective`."""
        return torch.zeros_like(point.value)
