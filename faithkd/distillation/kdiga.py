"""Knowledge distillation with input gradient alignment: the student has the teacher's outputs and its input gradients."""

from typing import Any

from torch import Tensor

from faithkd.distillation.alignment import DEFAULTS, aligned
from faithkd.distillation.method import Method


def loss(
    *,
    teacher_clean: Tensor,
    student_clean: Tensor,
    teacher_clean_gradient: Tensor,
    student_clean_gradient: Tensor,
    labels: Tensor,
    **settings: Any,
) -> Tensor:
    """`a CE(S(x), y) + b T^2 KL(T(x) || S(x)) + c ||grad_x CE(S(x), y) - grad_x CE(T(x), y)||_2` (Shao et al. 2021, Eq. 5).

    settings: of `aligned`.
    """
    gradients = (teacher_clean_gradient, student_clean_gradient)
    return aligned(student_clean, labels, teacher_clean, student_clean, *gradients, **settings)


METHOD = Method(
    name="kdiga",
    summary="the teacher's outputs and its input gradients",
    loss=loss,
    needs=("teacher_clean", "student_clean", "teacher_clean_gradient", "student_clean_gradient"),
    adversary=None,
    defaults=DEFAULTS,
    citation="Shao, Yi, Chen, Hsieh: How and When Adversarial Robustness Transfers in Knowledge Distillation?, 2021, "
    "arXiv:2110.12072",
)
