"""Pairs of networks with images and a radius, as plain numbers, to ask about."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracle.exact import Network
from tests.oracle.truth import Box

Floats = NDArray[np.float64]
Source = np.random.Generator

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Weights:
    """A network: one matrix `(n_k, n_{k-1})` and one vector `(n_k,)` a layer, float32 numbers in float64.

    scaling: what every input is first multiplied with and moved by, `(n_0,)` each, or None.
    """

    weights: list[Floats]
    biases: list[Floats]
    scaling: tuple[Floats, Floats] | None = None

    def exact(self) -> Network:
        """For the oracle."""
        network = Network.of(self.weights, self.biases)
        return network if self.scaling is None else network.scaled(*self.scaling)


@dataclass(frozen=True)
class Case:
    """What a bound is asked about. images: `(n, *shape)` float32; eps: a number or one an input; valid_range: as `verify` takes it."""

    teacher: Weights
    student: Weights
    images: NDArray[np.float32]
    eps: float | Floats
    valid_range: tuple[float, float] | None = (0.0, 1.0)

    def box(self, image: int) -> Box:
        """The exact ball around one image, cut with the valid range."""
        center = [Fraction(value) for value in self.images[image].ravel().tolist()]
        radius = [Fraction(value) for value in np.broadcast_to(self.eps, len(center)).tolist()]
        ends = [(x - r, x + r) for x, r in zip(center, radius, strict=True)]
        if self.valid_range is None:
            return ends
        smallest, largest = (Fraction(value) for value in self.valid_range)
        return [(max(low, smallest), min(high, largest)) for low, high in ends]


def single(values: Any) -> Floats:
    """The nearest float32 numbers, finite, in float64."""
    return np.clip(np.asarray(values, dtype=np.float64), -LARGEST, LARGEST).astype(np.float32).astype(np.float64)


def random_network(source: Source, sizes: list[int], scale: float = 1.0) -> Weights:
    """Normal weights with He's scale times `scale`, small biases; sizes: from the inputs to the logits."""
    pairs = list(pairwise(sizes))
    return Weights(
        [
            single(source.standard_normal((after, before)) * scale * (2 / max(before, 1)) ** 0.5)
            for before, after in pairs
        ],
        [single(source.standard_normal(after) * 0.3) for _, after in pairs],
    )


def random_sizes(
    source: Source, inputs: int, classes: int, depth: tuple[int, int] = (0, 3), width: tuple[int, int] = (1, 9)
) -> list[int]:
    """Sizes with a number of hidden layers and widths between the ends of `depth` and `width`, both included."""
    hidden = source.integers(width[0], width[1] + 1, source.integers(depth[0], depth[1] + 1))
    return [inputs, *hidden.tolist(), classes]


def random_images(source: Source, inputs: int, count: int = 1) -> NDArray[np.float32]:
    """Uniform images `(count, inputs)`, some numbers exactly 0, 1/2 or 1."""
    images = source.random((count, inputs)).astype(np.float32)
    places = source.random(images.shape) < 0.15
    images[places] = source.choice(np.float32([0.0, 0.5, 1.0]), int(places.sum()))
    return images


def few_inputs(source: Source) -> int:
    """Mostly one input, else up to four."""
    return int(source.choice([1, 1, 1, 2, 2, 3, 4]))


def radius(source: Source) -> float:
    """Of the sizes that images are asked about, sometimes as a float32 number."""
    eps = float(source.choice([0.01, 0.05, 0.1, 0.3, 0.5, 0.7]))
    return float(np.float32(eps)) if source.random() < 0.3 else eps
