"""KDIGA with one-step adversarial training: every term at the image that one step of the full radius makes."""

from typing import Any

from torch import Tensor

from faithkd.distillation import kdiga
from faithkd.distillation.alignment import aligned
from faithkd.distillation.method import Adversary, Method


def loss(
    *,
    teacher_adversarial: Tensor,
    student_adversarial: Tensor,
    teacher_adversarial_gradient: Tensor,
    student_adversarial_gradient: Tensor,
    labels: Tensor,
    **settings: Any,
) -> Tensor:
    """The loss of `kdiga` at `x' = x + eps sign(grad_x CE(S(x), y))` in place of `x` (Shao et al. 2021, Table 5)."""
    gradients = (teacher_adversarial_gradient, student_adversarial_gradient)
    return aligned(student_adversarial, labels, teacher_adversarial, student_adversarial, *gradients, **settings)


METHOD = Method(
    name="kdiga-fgsm",
    summary="kdiga at one-step adversarial images",
    loss=loss,
    needs=(
        "teacher_adversarial",
        "student_adversarial",
        "teacher_adversarial_gradient",
        "student_adversarial_gradient",
    ),
    adversary=Adversary(objective="cross-entropy", start="image", one_step=1.0),
    defaults=kdiga.METHOD.defaults,
    citation=kdiga.METHOD.citation,
)
