"""What follows for two confidences from a level: where `p_up - p_down` can still exceed it (docs/branching.md).

A bound over the narrowed boxes is one over the boxes after a maximum with the level. Uses `p_up > level + p_down`, `d_j <= LSE(d)` and
`exp(d_j) >= exp(LSE(d)) - sum of the others`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.measures.head import Boxes
from verify.measures.softmax import lse_bounds
from verify.rounding import LEVEL_SLACK, lse_error, most

# Of the differences and of the LSEs, each as (up, down).
Side = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def narrowed(boxes: Boxes, level: Tensor) -> tuple[Side, Side, Tensor]:
    """Lower and upper ends cut to where the query can exceed `level` `(n,)` float64, and where it cannot at all."""
    classes, is_label = boxes.lower[0].shape[1], boxes.is_label[:, None]
    d_low, d_high = (torch.stack(side, dim=1) for side in (boxes.lower, boxes.upper))
    r_low, r_high = lse_bounds(d_low, d_high, is_label)
    r_low = torch.maximum(r_low, torch.stack(boxes.r_lower, dim=1))
    r_high = torch.minimum(r_high, torch.stack(boxes.r_upper, dim=1))
    largest, smallest = torch.sigmoid(-r_low[:, 0]), torch.sigmoid(-r_high[:, 1])
    hopeless = largest - smallest + LEVEL_SLACK < level
    least_up, most_down = level + smallest, largest - level
    r_high[:, 0] = torch.minimum(r_high[:, 0], log_odds(1 - least_up + LEVEL_SLACK))
    r_low[:, 1] = torch.maximum(r_low[:, 1], -log_odds(most_down + LEVEL_SLACK))
    reach = torch.maximum(r_low.abs(), r_high.abs())
    d_high = torch.where(is_label, d_high, torch.minimum(d_high, (r_high + lse_error(reach, classes))[:, :, None]))
    top = d_high.masked_fill(is_label, -torch.inf).amax(dim=2, keepdim=True)
    parts = (d_high - top).exp().masked_fill(is_label, 0.0)
    left = (r_low[:, :, None] - top).exp() - (parts.sum(dim=2, keepdim=True) - parts)
    implied = torch.log((left - LEVEL_SLACK * classes**2).clamp(min=1e-300)) + top
    implied = implied - lse_error(reach[:, :, None] + top.abs(), classes)
    d_low = torch.where(~is_label & (left >= 1e-6), most(d_low, implied), d_low)
    low, high = ((*d.unbind(dim=1), *r.unbind(dim=1)) for d, r in ((d_low, r_low), (d_high, r_high)))
    return (low[:2], low[2:]), (high[:2], high[2:]), hopeless  # type: ignore[return-value]


def log_odds(p: Tensor) -> Tensor:
    """`log(p / (1 - p))`, infinite from 1 on, kept away from 0 where it would lose its precision."""
    p = p.clamp(min=1e-6)
    return torch.where(p < 1, torch.log(p / (1 - p).clamp(min=1e-300)), torch.inf)
