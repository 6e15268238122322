"""Faithful distillation: teacher and student agree at the image, near it, where they disagree the most."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, kl


def loss(
    *,
    teacher_adversarial: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    alpha: float = 0.5,
    temperature: float = 2.0,
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`a T^2 KL(T(x') || S(x')) + (1 - a) CE(S(x), y)`, teacher detached (Lamb et al. 2023, Eq. 7)."""
    imitation = kl(teacher_adversarial.detach(), student_adversarial, temperature, kl_reduction).mean()
    return alpha * temperature**2 * imitation + (1 - alpha) * functional.cross_entropy(student_clean, labels)


METHOD = Method(
    name="fd",
    summary="both networks where they disagree the most near the image",
    loss=loss,
    adversary=Adversary(objective="kl", teacher_input="adversarial", start="uniform"),
    citation="Lamb et al.: Faithful Knowledge Distillation, 2023, arXiv:2306.04431",
)
