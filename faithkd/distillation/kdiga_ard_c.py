"""KDIGA with ARD's term: the adversarial student imitates the clean teacher, gradients are aligned at the clean image."""

from typing import Any

from torch import Tensor

from faithkd.distillation import kdiga
from faithkd.distillation.alignment import aligned
from faithkd.distillation.method import Adversary, Method


def loss(
    *,
    teacher_clean: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    teacher_clean_gradient: Tensor,
    student_clean_gradient: Tensor,
    labels: Tensor,
    **settings: Any,
) -> Tensor:
    """`a CE(S(x), y) + b T^2 KL(T(x) || S(x')) + c ||grad_x CE(S(x), y) - grad_x CE(T(x), y)||_2` (Shao et al. 2021)."""
    gradients = (teacher_clean_gradient, student_clean_gradient)
    return aligned(student_clean, labels, teacher_clean, student_adversarial, *gradients, **settings)


METHOD = Method(
    name="kdiga-ard-c",
    summary="ard with the teacher's input gradients at the clean image",
    loss=loss,
    needs=(
        "teacher_clean",
        "student_clean",
        "student_adversarial",
        "teacher_clean_gradient",
        "student_clean_gradient",
    ),
    adversary=Adversary(objective="cross-entropy", start="uniform"),
    defaults=kdiga.METHOD.defaults,
    citation=kdiga.METHOD.citation,
)
