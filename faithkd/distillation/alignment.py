"""Input gradient alignment: the term and the sum of terms that the KDIGA methods share, each at inputs of its own."""

import torch
from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import kl

DEFAULTS = {
    "label_weight": 0.5,
    "alpha": 0.5,
    "gradient_weight": 1.0,
    "temperature": 1.0,
    "iga_reduction": "image",
    "kl_reduction": "batchmean",
}


def aligned(
    labelled: Tensor,
    labels: Tensor,
    teacher: Tensor,
    student: Tensor,
    teacher_gradient: Tensor,
    student_gradient: Tensor,
    *,
    label_weight: float = 0.5,
    alpha: float = 0.5,
    gradient_weight: float = 1.0,
    temperature: float = 1.0,
    iga_reduction: str = "image",
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`a CE(labelled, y) + b T^2 KL(teacher || student) + c ||student_gradient - teacher_gradient||_2` (Shao et al. 2021, Eq. 5).

    labelled, teacher, student: logits `(batch, classes)`; labels `(batch,)`; gradients `(batch, *shape)`. label_weight, alpha,
    gradient_weight: `a`, `b`, `c`. iga_reduction: see `gradient_distance`. Teacher detached.
    """
    imitation = temperature**2 * kl(teacher.detach(), student, temperature, kl_reduction).mean()
    distance = gradient_distance(student_gradient, teacher_gradient, iga_reduction)
    return label_weight * functional.cross_entropy(labelled, labels) + alpha * imitation + gradient_weight * distance


def gradient_distance(student_gradient: Tensor, teacher_gradient: Tensor, iga_reduction: str) -> Tensor:
    """The distance of input gradients `(batch, *shape)`, one number (Shao et al. 2021, Eq. 5).

    iga_reduction: "image" for the mean of each image's l2 norm; "batch" for the official program's l2 norm over the whole batch at
    once, times the 1 / batch of its weight. Teacher detached.
    """
    differences = (student_gradient - teacher_gradient.detach()).flatten(1)
    norms: Tensor = torch.linalg.vector_norm(differences, dim=1)
    return torch.linalg.vector_norm(norms) / len(norms) if iga_reduction == "batch" else norms.mean()
