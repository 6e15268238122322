"""The best inputs met so far: they steer the work and never enter an upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.attained.replay import attained
from verify.measures.measure import Measure
from verify.network.graph import Network
from verify.region import Region


@dataclass(frozen=True)
class Incumbent:
    """emplb `(n,)`: what the witness `(n, d)`, float64 inputs of the regions, is proved to attain."""

    emplb: Tensor
    witness: Tensor

    @classmethod
    def of(cls, networks: tuple[Network, Network], measure: Measure, region: Region, points: Tensor) -> Incumbent:
        """Points `(n, d)`, one an image, brought into their regions."""
        points = region.project(points)
        assert bool(region.contains(points).all()), "a witness lies outside its region"
        return cls(attained(networks, measure, points).amax(dim=1).clamp(min=0), points)

    @classmethod
    def cat(cls, parts: Sequence[Incumbent]) -> Incumbent:
        """The best inputs of several batches."""
        return cls(torch.cat([part.emplb for part in parts]), torch.cat([part.witness for part in parts]))

    def or_better(self, other: Incumbent) -> Incumbent:
        """For each image the better of two."""
        better = other.emplb > self.emplb
        witness = torch.where(better[:, None], other.witness, self.witness)
        return Incumbent(torch.where(better, other.emplb, self.emplb), witness)

    def __getitem__(self, images: Tensor) -> Incumbent:
        return Incumbent(self.emplb[images], self.witness[images])
