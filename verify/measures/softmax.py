"""From bounds on logit differences to bounds on confidences (Lamb et al. 2023, Eq. 10-11).

`d[i, j] = z_j - z_i`, and `p_i = 1 / (1 + sum over j != i of exp(d[i, j]))` falls in every `d[i, j]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.rounding import TINY, lse_error, softmax_error, up


def confidence_bounds(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 10: bounds `(n, C)` of every confidence from bounds `(n, C, C)` of the logit differences, rounded outward."""
    relative = softmax_error(lower.shape[1])
    smallest = 1 / (1 + _sum_of_exponentials(upper))
    largest = 1 / (1 + _sum_of_exponentials(lower))
    return (
        (smallest * (1 - relative) - TINY).clamp(min=0),
        (largest * (1 + relative) + TINY).clamp(max=1),
    )


def query_bounds(teacher: tuple[Tensor, Tensor], student: tuple[Tensor, Tensor]) -> Tensor:
    """Eq. 11, a query at a time: upper bounds `(n, C, 2)` of `p_t,i - p_s,i` and `p_s,i - p_t,i`, from bounds of confidences `(n, C)`."""
    return torch.stack((up(teacher[1] - student[0]), up(student[1] - teacher[0])), dim=-1).clamp(max=1)


def lse_bounds(d_lower: Tensor, d_upper: Tensor, is_label: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, 2)` of `LSE(d)` over the classes that are not the label, from boxes `(n, 2, C)`, rounded outward."""
    low, high = (d.double().masked_fill(is_label, -torch.inf).logsumexp(dim=2) for d in (d_lower, d_upper))
    classes = d_lower.shape[2]
    return low - lse_error(low, classes), high + lse_error(high, classes)


def _sum_of_exponentials(differences: Tensor) -> Tensor:
    diagonal = torch.eye(differences.shape[1], dtype=torch.bool, device=differences.device)
    return differences.masked_fill(diagonal, -torch.inf).exp().sum(dim=2)
