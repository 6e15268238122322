"""Where to split the box of a quantity."""

from __future__ import annotations

import torch
from torch import Tensor

# The smallest part of a box that a child may have.
SMALLEST_PART = 0.2
# Beyond it the sigmoid is within 2 per cent of 0 or 1.
STEEP = 4.0


def inner(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`value` moved away from the ends of `[low, high]`."""
    margin = SMALLEST_PART * (high - low)
    return torch.minimum(torch.maximum(value, low + margin), high - margin)


def steep(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where to split an LSE: at an end of the sigmoid's steep part that is well inside, the nearer one, else as any box."""
    ends = torch.tensor([-STEEP, STEEP], dtype=value.dtype, device=value.device)
    inside = (ends > low[:, None] + STEEP / 4) & (ends < high[:, None] - STEEP / 4)
    wide = high - low > 4 * STEEP
    nearest = (value[:, None] - ends).abs().masked_fill(~inside, torch.inf).argmin(dim=1)
    return torch.where(wide & inside.any(dim=1), ends[nearest], inner(value, low, high))
