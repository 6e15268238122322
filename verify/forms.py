"""Numbers on their way through a traced network: as affine forms of the last ReLU's outputs, and at points with an error bound.

Both know the same five steps: entries moved to other places, scaled, shifted, sent through a linear layer, rectified. All numbers are
float64; those of a network are float32, so that the product of two is exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from verify.errors import Unsupported
from verify.rounding import grown, product_error, step_error, sum_error

Move = Callable[[Tensor], Tensor]


class Numbers(ABC):
    """The numbers that stand at one place of a network, for a batch of images."""

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """`(batch, ...)`."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where they are."""

    @abstractmethod
    def moved(self, move: Move) -> Self:
        """The entries where `move` (a view, a permutation, a selection) puts those of a tensor."""

    @abstractmethod
    def scaled(self, factor: Tensor, *, divide: bool = False) -> Self:
        """Each entry times, or divided by, that of `factor`, which has the shape of one image."""

    @abstractmethod
    def shifted(self, offset: Tensor) -> Self:
        """Each entry plus that of `offset`, which has the shape of one image."""

    @abstractmethod
    def through(self, weight: Tensor, bias: Tensor) -> Self:
        """The last axis through a linear layer, weight `(outputs, inputs)`, bias `(outputs,)`."""

    @abstractmethod
    def rectified(self) -> Self:
        """The ReLU of each entry."""


@dataclass(frozen=True)
class Layer:
    """An affine layer `z = W h + b`: weight `(n, m)`, bias `(n,)`, and what each may differ by from the network's; None for nothing."""

    weight: Tensor
    bias: Tensor
    bias_error: Tensor
    weight_error: Tensor | None


@dataclass(frozen=True)
class Picked:
    """Entries that are each one input times a number: `scale[k] h[index[k]]`, `(n,)` each, of `size` inputs."""

    index: Tensor
    scale: Tensor
    error: Tensor
    size: int

    def rows(self, chosen: Tensor) -> Picked:
        """The entries at positions `chosen`."""
        return Picked(self.index[chosen], self.scale[chosen], self.error[chosen], self.size)

    def times(self, factor: Tensor, divide: bool) -> Picked:
        """The entries times, or divided by, `factor` `(n,)`."""
        return Picked(self.index, *_times(self.scale, self.error, factor, divide), self.size)

    def through(self, weight: Tensor) -> Dense:
        """The entries, in blocks as long as the weight's rows, each through the weight."""
        outputs, inputs = weight.shape
        blocks = len(self.index) // inputs
        dense = weight.new_zeros((blocks, outputs, self.size))
        error, total = torch.zeros_like(dense), torch.zeros_like(dense)
        for block, index, scale, own in zip(
            range(blocks),
            *(torch.split(column, inputs) for column in (self.index, self.scale, self.error)),
            strict=True,
        ):
            product = weight * scale
            lost = grown(weight.abs() * own)
            lost = lost + torch.where(_short(weight) & _short(scale), torch.zeros_like(product), step_error(product))
            for target, values in ((dense, product), (error, lost), (total, product.abs())):
                target[block].index_add_(1, index, values)
            if len(index.unique()) < inputs:
                error[block] += sum_error(total[block], inputs)
        return Dense(dense.flatten(0, 1), error.flatten(0, 1))

    def dense(self) -> Dense:
        """The same as a matrix."""
        n = len(self.index)
        weight = self.scale.new_zeros((n, self.size))
        place = torch.arange(n, device=weight.device), self.index
        return Dense(weight.index_put(place, self.scale), torch.zeros_like(weight).index_put(place, self.error))


@dataclass(frozen=True)
class Dense:
    """Entries that are sums over all inputs: weight `(n, m)`, known up to `error` `(n, m)`."""

    weight: Tensor
    error: Tensor

    def rows(self, chosen: Tensor) -> Dense:
        """The entries at positions `chosen`."""
        return Dense(self.weight[chosen], self.error[chosen])

    def times(self, factor: Tensor, divide: bool) -> Dense:
        """The entries times, or divided by, `factor` `(n,)`."""
        return Dense(*_times(self.weight, self.error, factor[:, None], divide))

    def through(self, weight: Tensor) -> Dense:
        """The entries, in blocks as long as the weight's rows, each through the weight."""
        blocks = zip(*(torch.split(part, weight.shape[1]) for part in (self.weight, self.error)), strict=True)
        pairs = [
            (weight @ own, product_error(weight, own) + grown(weight.abs() @ error, weight.shape[1]))
            for own, error in blocks
        ]
        products, errors = zip(*pairs, strict=True)
        return Dense(torch.cat(products), torch.cat(errors))

    def dense(self) -> Dense:
        """The same."""
        return self


@dataclass(frozen=True)
class Form(Numbers):
    """Affine functions of the outputs of the last ReLU, or of the network's input where there is none yet.

    layers: what lies below. batch: images that are traced at once. image_shape: of the entries of one image. matrix: their
    coefficients; bias, bias_error `(n,)`: their constants.
    """

    layers: tuple[Layer, ...]
    batch: int
    image_shape: torch.Size
    matrix: Picked | Dense
    bias: Tensor
    bias_error: Tensor

    @classmethod
    def identity(cls, layers: tuple[Layer, ...], batch: int, image_shape: torch.Size, device: torch.device) -> Self:
        """The inputs themselves."""
        zero = torch.zeros(image_shape.numel(), dtype=torch.float64, device=device)
        index = torch.arange(len(zero), device=device)
        return cls(
            layers,
            batch,
            image_shape,
            Picked(index, torch.ones_like(zero), torch.zeros_like(zero), len(zero)),
            zero,
            zero,
        )

    @property
    def shape(self) -> torch.Size:
        """See `Numbers`."""
        return torch.Size((self.batch, *self.image_shape))

    @property
    def device(self) -> torch.device:
        """See `Numbers`."""
        return self.bias.device

    def moved(self, move: Move) -> Self:
        """See `Numbers`. Raises `Unsupported` when an image's entries would end in another image."""
        n = len(self.bias)
        place = move(torch.arange(self.batch * n, device=self.bias.device).reshape(self.shape))
        chosen = place[0].flatten() if place.ndim > 0 and len(place) == self.batch else place.new_full((1,), -1)
        own = n * torch.arange(self.batch, device=place.device)[:, None] + chosen
        if not (bool(((chosen >= 0) & (chosen < n)).all()) and torch.equal(place.flatten(), own.flatten())):
            raise Unsupported("it mixes the images of a batch, which must pass through the network one by one")
        return replace(
            self, image_shape=place.shape[1:], matrix=self.matrix.rows(chosen), bias=self.bias[chosen],
            bias_error=self.bias_error[chosen],
        )  # fmt: skip

    def scaled(self, factor: Tensor, *, divide: bool = False) -> Self:
        """See `Numbers`."""
        factor = factor.flatten()
        bias, error = _times(self.bias, self.bias_error, factor, divide)
        return replace(self, matrix=self.matrix.times(factor, divide), bias=bias, bias_error=error)

    def shifted(self, offset: Tensor) -> Self:
        """See `Numbers`."""
        bias = self.bias + offset.flatten()
        exact = (self.bias == 0) | (offset.flatten() == 0)
        error = self.bias_error + torch.where(exact, torch.zeros_like(bias), step_error(bias))
        return replace(self, bias=bias, bias_error=error)

    def through(self, weight: Tensor, bias: Tensor) -> Self:
        """See `Numbers`."""
        outputs, inputs = weight.shape
        before, lost = self.bias.reshape(-1, inputs).T, self.bias_error.reshape(-1, inputs).T
        values = (weight @ before).T + bias
        rounded = product_error(weight, before).T + step_error(bias) + step_error(values)
        error = torch.where((before == 0).all(dim=0)[:, None], torch.zeros_like(rounded), rounded)
        error = error + grown(weight.abs() @ lost, inputs).T
        return replace(
            self, image_shape=torch.Size((*self.image_shape[:-1], outputs)), matrix=self.matrix.through(weight),
            bias=values.flatten(), bias_error=error.flatten(),
        )  # fmt: skip

    def rectified(self) -> Self:
        """See `Numbers`: a layer ends here, unless the entries are outputs of a ReLU already."""
        if self.layers and self._is_selection():
            return self
        return self.identity((*self.layers, self.layer()), self.batch, self.image_shape, self.device)

    def layer(self) -> Layer:
        """The entries as one affine layer."""
        matrix = self.matrix.dense()
        error = matrix.error if bool((matrix.error > 0).any()) else None
        return Layer(matrix.weight.contiguous(), self.bias, self.bias_error, error)

    def _is_selection(self) -> bool:
        exact = not bool((self.bias != 0).any() or (self.bias_error != 0).any())
        return exact and isinstance(self.matrix, Picked) and bool((self.matrix.scale == 1).all())


@dataclass(frozen=True)
class Sampled(Numbers):
    """The numbers at a batch of points, and a bound on the error of a module that computes them with unit roundoff `unit`.

    value, error: `(batch, ...)`; largest `(batch,)`: the largest absolute value met on the way; tiny: what underflows.
    """

    value: Tensor
    error: Tensor
    largest: Tensor
    unit: float
    tiny: float

    @classmethod
    def at(cls, points: Tensor, dtype: torch.dtype) -> Self:
        """Points that a module of type `dtype` is given as they are."""
        unit, tiny = (float(getattr(torch.finfo(dtype), name)) for name in ("eps", "tiny"))
        return cls(points, torch.zeros_like(points), points.flatten(1).abs().amax(dim=1), unit, tiny)

    @property
    def shape(self) -> torch.Size:
        """See `Numbers`."""
        return self.value.shape

    @property
    def device(self) -> torch.device:
        """See `Numbers`."""
        return self.value.device

    def moved(self, move: Move) -> Self:
        """See `Numbers`."""
        return replace(self, value=move(self.value), error=move(self.error))

    def scaled(self, factor: Tensor, *, divide: bool = False) -> Self:
        """See `Numbers`."""
        size = factor.abs()
        if divide:
            return self._after(self.value / factor, self.error / size)
        return self._after(self.value * factor, self.error * size)

    def shifted(self, offset: Tensor) -> Self:
        """See `Numbers`."""
        return self._after(self.value + offset, self.error + self.unit * (self.value.abs() + offset.abs()))

    def through(self, weight: Tensor, bias: Tensor) -> Self:
        """See `Numbers`."""
        terms = weight.shape[1] + 2
        size = (self.value.abs() + self.error) @ weight.abs().T + bias.abs()
        error = self.error @ weight.abs().T + terms * (self.unit * size + self.tiny)
        return self._after(self.value @ weight.T + bias, error)

    def rectified(self) -> Self:
        """See `Numbers`."""
        return replace(self, value=self.value.relu())

    def _after(self, value: Tensor, error: Tensor) -> Self:
        error = error + self.unit * (value.abs() + error) + self.tiny
        largest = torch.maximum(self.largest, (value.abs() + error).flatten(1).amax(dim=1))
        return replace(self, value=value, error=error, largest=largest)


def _times(values: Tensor, error: Tensor, factor: Tensor, divide: bool) -> tuple[Tensor, Tensor]:
    """`values`, known up to `error`, times or divided by `factor`, and what they are known up to then."""
    product = values / factor if divide else values * factor
    exact = (_short(values) & _short(factor) & (not divide)) | (values == 0) | (factor.abs() == 1)
    kept = grown(error / factor.abs() if divide else error * factor.abs())
    return product, kept + torch.where(exact, torch.zeros_like(product), step_error(product))


def _short(values: Tensor) -> Tensor:
    """Truth values: is a number a float32 number, so that its product with another is exact in float64."""
    return values.float().double() == values
