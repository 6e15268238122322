"""IGAM: the student's input gradients are made hard to tell from the teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from faithkd.distillation.method import Critic, Method


def loss(
    *,
    student_clean: Tensor,
    student_clean_gradient: Tensor,
    teacher_clean_gradient: Tensor,
    judged_teacher: Tensor,
    judged_student: Tensor,
    labels: Tensor,
    critic_weight: float = 5.0,
    gradient_weight: float = 10.0,
    iga_reduction: str = "batch",
) -> Tensor:
    """`CE(S(x), y) - b CE_disc + g ||J_S - J_T||_2^2` with the input gradients `J`, teacher detached (Chan et al. 2020).

    critic_weight, gradient_weight: `b`, `g`. judged_*: the critic's logits on the gradients, see `critic_loss` for `CE_disc`.
    iga_reduction: "batch" takes the gradient of the batch's mean loss to all its images, so that the squared norm is the mean over
    the images divided by their number; "image" is that mean itself, with which training diverges at these weights.
    """
    differences = (student_clean_gradient - teacher_clean_gradient.detach()).flatten(1)
    distance = differences.square().sum(dim=1).mean()
    if iga_reduction == "batch":
        distance = distance / len(differences)
    label = functional.cross_entropy(student_clean, labels)
    return label - critic_weight * critic_loss(judged_teacher, judged_student) + gradient_weight * distance


def critic_loss(judged_teacher: Tensor, judged_student: Tensor) -> Tensor:
    """`CE_disc`, the mean binary cross-entropy of "this is the teacher's": logits `(batch,)` on gradients of either network."""
    return (functional.softplus(-judged_teacher).mean() + functional.softplus(judged_student).mean()) / 2


def critic(shape: tuple[int, ...]) -> nn.Module:
    """Two convolutions with stride 2 and a linear layer: gradients `(batch, *shape)` to `(batch,)` logits."""
    channels, height, width = shape
    sides = [((side + 1) // 2 + 1) // 2 for side in (height, width)]
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(16 * sides[0] * sides[1], 1),
        nn.Flatten(0),
    )


METHOD = Method(
    name="igam",
    summary="input gradients that a discriminator cannot tell from the teacher's",
    loss=loss,
    adversary=None,
    options={"critic_every": 5, "critic_rate": 0.001},
    critic=Critic(critic, critic_loss),
    citation="Chan, Tay, Ong: What It Thinks Is Important Is Important: Robustness Transfers Through Input Gradients, CVPR 2020, "
    "arXiv:1912.05699",
)
