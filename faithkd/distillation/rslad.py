"""Robust soft label adversarial distillation: the teacher's soft labels replace the hard ones everywhere, in the attack too."""

import torch
from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, Settings, kl, mixed, reduced


def loss(
    *,
    student_clean: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    teacher_clean: Tensor | None = None,
    teacher_adversarial: Tensor | None = None,
    alpha: float = 5 / 6,
    temperature: float = 1.0,
    mixing: float = 1.0,
    kl_reduction: str = "batchmean",
    teacher_input: str = "clean",
    clean_term_teacher_input: str = "clean",
) -> Tensor:
    """`T^2 (a KL(P || S(x')) + (1 - a) KL(P || S(x)))`, `P = m T(x) + (1 - m) y`, teacher detached (Zi et al. 2021).

    mixing: `m`, 1 for the teacher alone. teacher_input, clean_term_teacher_input: "clean" or "adversarial", where the
    teacher is asked for the target of `S(x')` and of `S(x)` (Table 3 of its supplement).
    """
    teachers = {"clean": teacher_clean, "adversarial": teacher_adversarial}

    def divergence(asked: str, student: Tensor) -> Tensor:
        teacher = teachers[asked]
        assert teacher is not None
        if mixing == 1:
            return kl(teacher.detach(), student, temperature, kl_reduction).mean()
        target = mixed(torch.softmax(teacher.detach() / temperature, dim=1), labels, mixing)
        # The target may hold zeros, at which t log t is 0.
        values = torch.xlogy(target, target) - target * functional.log_softmax(student / temperature, dim=1)
        return reduced(values.sum(dim=1), target.shape[1], kl_reduction).mean()

    adversarial = divergence(teacher_input, student_adversarial)
    clean = divergence(clean_term_teacher_input, student_clean)
    return temperature**2 * (alpha * adversarial + (1 - alpha) * clean)


def asks(settings: Settings) -> list[str]:
    """The teacher where the settings ask it."""
    return sorted({f"teacher_{settings[name]}" for name in ("teacher_input", "clean_term_teacher_input")})


METHOD = Method(
    name="rslad",
    summary="the teacher's soft labels in both terms and in the attack",
    loss=loss,
    asks=asks,
    adversary=Adversary(objective="kl", teacher_input="clean", start="normal"),
    citation="Zi, Zhao, Ma, Jiang: Revisiting Adversarial Robustness Distillation, ICCV 2021, arXiv:2108.07969",
)
