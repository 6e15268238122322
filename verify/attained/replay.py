"""What networks prove at single points: logits, decisions and a measure's queries with their rounding error covered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from verify.measures.measure import Measure
from verify.network.graph import Network
from verify.region import Region
from verify.single.interval import interval_bounds


def logits_at(network: Network, points: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, C)` that enclose the exact logits at `points` `(n, d)`."""
    bounds = interval_bounds(network, Region.points(points))
    return bounds.lower[-1], bounds.upper[-1]


def attained(networks: Sequence[Network], measure: Measure, points: Tensor) -> Tensor:
    """Lower bounds `(n, queries)` of what both networks attain at `points` `(n, d)`, rounded down; the largest is a proved EMPLB."""
    teacher, student = (logits_at(network, points) for network in networks)
    return measure.attained(teacher, student)


def decided(network: Network, points: Tensor) -> Tensor:
    """The class `(n,)` whose logit is proved larger than every other at `points` `(n, d)`, or -1 where none is."""
    low, high = logits_at(network, points)
    best = low.argmax(dim=1)
    others = high.scatter(1, best[:, None], -torch.inf)
    return torch.where(low.gather(1, best[:, None])[:, 0] > others.amax(dim=1), best, -1)
