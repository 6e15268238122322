"""Standard distillation: the student imitates the teacher's softened outputs on clean images."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Method, kl


def loss(
    *,
    teacher_clean: Tensor,
    student_clean: Tensor,
    labels: Tensor,
    alpha: float = 0.5,
    temperature: float = 4.0,
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`a T^2 KL(T(x) || S(x)) + (1 - a) CE(S(x), y)`, teacher detached (Hinton et al. 2015; Lamb et al. 2023, Eq. 1)."""
    imitation = kl(teacher_clean.detach(), student_clean, temperature, kl_reduction).mean()
    return alpha * temperature**2 * imitation + (1 - alpha) * functional.cross_entropy(student_clean, labels)


METHOD = Method(
    name="sd",
    summary="the teacher's softened outputs on clean images",
    loss=loss,
    adversary=None,
    citation="Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531",
)
