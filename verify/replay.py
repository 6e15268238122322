"""What a network proves at a single point: logits, confidences and decisions with their rounding error covered."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.interval import interval_bounds
from verify.network import ReluNetwork
from verify.region import Region
from verify.rounding import down
from verify.softmax import box_differences, confidence_bounds


def logits_at(network: ReluNetwork, points: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, C)` that enclose the exact logits at `points` `(n, d)`."""
    bounds = interval_bounds(network, Region.points(points))
    return bounds.lower[-1], bounds.upper[-1]


def attained(teacher: ReluNetwork, student: ReluNetwork, points: Tensor) -> Tensor:
    """Lower bounds `(n, C, 2)` of `p_t,i - p_s,i` and `p_s,i - p_t,i` at `points` `(n, d)`, rounded down.

    The largest over classes and signs is a proved EMPLB.
    """
    teacher_low, teacher_high = confidence_bounds(*box_differences(*logits_at(teacher, points)))
    student_low, student_high = confidence_bounds(*box_differences(*logits_at(student, points)))
    exact = torch.stack((teacher_low - student_high, student_low - teacher_high), dim=-1)
    return down(exact)


def decided(network: ReluNetwork, points: Tensor) -> Tensor:
    """The class `(n,)` whose logit is proved larger than every other at `points` `(n, d)`, or -1 where none is."""
    low, high = logits_at(network, points)
    best = low.argmax(dim=1)
    others = high.scatter(1, best[:, None], -torch.inf)
    return torch.where(low.gather(1, best[:, None])[:, 0] > others.amax(dim=1), best, -1)
