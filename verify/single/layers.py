"""What is known of a network's layers over a region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.network.graph import Network
from verify.region import Region
from verify.rounding import known, least, most

# Regions that are worked on at once, so that memory does not grow with their number.
CHUNK = 16


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

    def __getitem__(self, index: slice | Tensor) -> LayerBounds:
        """The bounds of some images."""
        return LayerBounds(tuple(t[index] for t in self.lower), tuple(t[index] for t in self.upper))

    @staticmethod
    def joined(parts: Sequence[LayerBounds]) -> LayerBounds:
        """The bounds of all images of several batches."""
        lower, upper = (
            tuple(torch.cat(layer) for layer in zip(*sides, strict=True))
            for sides in ([part.lower for part in parts], [part.upper for part in parts])
        )
        return LayerBounds(lower, upper)

    def and_layer(self, lower: Tensor, upper: Tensor) -> LayerBounds:
        """The same and one more layer."""
        return LayerBounds((*self.lower, lower), (*self.upper, upper))

    def upto(self, layer: int) -> LayerBounds:
        """Those of the layers below a layer, counted from 0."""
        return LayerBounds(self.lower[:layer], self.upper[:layer])

    def tightened(self, k: int, index: tuple[Tensor, Tensor], lower: Tensor, upper: Tensor) -> LayerBounds:
        """The same with some bounds of layer k, at (image, neuron) `index`, replaced where the new ones are tighter."""
        return self.put(k, index, most(self.lower[k][index], lower), least(self.upper[k][index], upper))

    def put(self, k: int, index: tuple[Tensor, Tensor], lower: Tensor, upper: Tensor) -> LayerBounds:
        """The same with some bounds of layer k, at (image, neuron) `index`, replaced."""
        low, high = self.lower[k].clone(), self.upper[k].clone()
        low[index], high[index] = lower, upper
        lowers, uppers = list(self.lower), list(self.upper)
        lowers[k], uppers[k] = low, high
        return LayerBounds(tuple(lowers), tuple(uppers))

    def replaced(self, images: Tensor, new: LayerBounds) -> LayerBounds:
        """The same with the bounds of the images `(m,)` from `new`."""
        lower, upper = (
            tuple(old.index_copy(0, images, own) for old, own in zip(*sides, strict=True))
            for sides in ((self.lower, new.lower), (self.upper, new.upper))
        )
        return LayerBounds(lower, upper)

    def finite(self) -> Tensor:
        """`(n,)` truth values: the images all of whose bounds are known."""
        return torch.stack([torch.isfinite(side).all(dim=1) for side in (*self.lower, *self.upper)]).all(dim=0)

    def loose(self, k: int) -> tuple[Tensor, Tensor]:
        """(image, neuron) of every neuron of hidden layer k that can be on either side of zero."""
        image, neuron = ((self.lower[k] < 0) & (self.upper[k] > 0)).nonzero(as_tuple=True)
        return image, neuron

    def magnitudes(self, network: Network, region: Region) -> list[Tensor]:
        """Bounds of the absolute value of every layer's input, the region's for the first: of the activations and what they are of."""
        sizes = [torch.maximum(region.lower.abs(), region.upper.abs())]
        for activation, low, high in zip(network.activations, self.lower, self.upper, strict=False):
            ends = (low, high, *activation.range(low, high))
            sizes.append(torch.stack([end.abs() for end in ends]).amax(dim=0))
        return sizes


def in_chunks(compute: Callable[[Region], LayerBounds], region: Region) -> LayerBounds:
    """`compute` over at most CHUNK images at a time."""
    return LayerBounds.joined([compute(region[start : start + CHUNK]) for start in range(0, len(region), CHUNK)])
