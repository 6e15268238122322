"""From bounds on logit differences to bounds on confidences (Lamb et al. 2023, Eq. 9-11).

`d[i, j] = z_j - z_i`, and `p_i = 1 / (1 + sum over j != i of exp(d[i, j]))` falls in every `d[i, j]`. A query is a class `i` and a
sign: `[..., i, 0]` asks for the largest `p_t,i - p_s,i`, `[..., i, 1]` for the largest `p_s,i - p_t,i`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.rounding import TINY, softmax_error, up

SIGNS = (1, -1)


def difference_rows(classes: int, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> Tensor:
    """The rows `(classes^2, classes)` of all logit differences: row `i * classes + j` is `e_j - e_i`."""
    identity = torch.eye(classes, dtype=dtype, device=device)
    return (identity[None, :, :] - identity[:, None, :]).reshape(classes * classes, classes)


def box_differences(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 9: bounds `(n, C, C)` of `d[i, j]` from logit boxes `(n, C)`, rounded outward."""
    low = -up(upper[:, :, None] - lower[:, None, :])
    high = up(upper[:, None, :] - lower[:, :, None])
    diagonal = torch.eye(lower.shape[1], dtype=torch.bool, device=lower.device)
    return low.masked_fill(diagonal, 0.0), high.masked_fill(diagonal, 0.0)


def confidence_bounds(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 10: bounds `(n, C)` of every confidence from bounds `(n, C, C)` of the logit differences, rounded outward."""
    relative = softmax_error(lower.shape[1])
    smallest = 1 / (1 + _sum_of_exponentials(upper))
    largest = 1 / (1 + _sum_of_exponentials(lower))
    return (
        (smallest * (1 - relative) - TINY).clamp(min=0),
        (largest * (1 + relative) + TINY).clamp(max=1),
    )


def query_bounds(teacher_lower: Tensor, teacher_upper: Tensor, student_lower: Tensor, student_upper: Tensor) -> Tensor:
    """Eq. 11, a query at a time: upper bounds `(n, C, 2)` of `p_t,i - p_s,i` and `p_s,i - p_t,i`, from confidences `(n, C)`."""
    return torch.stack((up(teacher_upper - student_lower), up(student_upper - teacher_lower)), dim=-1).clamp(max=1)


def _sum_of_exponentials(differences: Tensor) -> Tensor:
    diagonal = torch.eye(differences.shape[1], dtype=torch.bool, device=differences.device)
    return differences.masked_fill(diagonal, -torch.inf).exp().sum(dim=2)
