"""Adversarially robust distillation: the student at an adversarial image imitates the teacher at the clean one."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, kl


def loss(
    *,
    teacher_clean: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    temperature: float = 30.0,
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`a T^2 KL(T(x) || S(x')) + (1 - a) CE(S(x), y)`, teacher detached (Goldblum et al. 2020)."""
    imitation = kl(teacher_clean.detach(), student_adversarial, temperature, kl_reduction).mean()
    return alpha * temperature**2 * imitation + (1 - alpha) * functional.cross_entropy(student_clean, labels)


METHOD = Method(
    name="ard",
    summary="the student at an adversarial image imitates the teacher at the clean one",
    loss=loss,
    adversary=Adversary(objective="cross-entropy", start="uniform"),
    citation="Goldblum, Fowl, Feizi, Goldstein: Adversarially Robust Distillation, AAAI 2020, arXiv:1905.09747",
)
