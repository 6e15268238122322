"""KDIGA with ARD's term, teacher and gradients at the adversarial image."""

from typing import Any

from torch import Tensor

from faithkd.distillation import kdiga
from faithkd.distillation.alignment import aligned
from faithkd.distillation.method import Adversary, Method


def loss(
    *,
    teacher_adversarial: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    teacher_adversarial_gradient: Tensor,
    student_adversarial_gradient: Tensor,
    labels: Tensor,
    **settings: Any,
) -> Tensor:
    """`a CE(S(x), y) + b T^2 KL(T(x') || S(x')) + c ||grad_x' CE(S(x'), y) - grad_x' CE(T(x'), y)||_2` (Shao et al. 2021)."""
    gradients = (teacher_adversarial_gradient, student_adversarial_gradient)
    return aligned(student_clean, labels, teacher_adversarial, student_adversarial, *gradients, **settings)


METHOD = Method(
    name="kdiga-ard-a",
    summary="both networks and their input gradients at the adversarial image",
    loss=loss,
    needs=(
        "teacher_adversarial",
        "student_clean",
        "student_adversarial",
        "teacher_adversarial_gradient",
        "student_adversarial_gradient",
    ),
    adversary=Adversary(objective="cross-entropy", start="uniform"),
    defaults=kdiga.METHOD.defaults,
    citation=kdiga.METHOD.citation,
)
