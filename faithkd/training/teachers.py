"""Training without a teacher: plain, and on adversarial images."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method


def plain_loss(*, student_clean: Tensor, labels: Tensor) -> Tensor:
    """`CE(S(x), y)`."""
    return functional.cross_entropy(student_clean, labels)


def adversarial_loss(*, student_adversarial: Tensor, labels: Tensor) -> Tensor:
    """`CE(S(x'), y)` (Madry et al. 2018)."""
    return functional.cross_entropy(student_adversarial, labels)


METHODS: dict[str, Method] = {
    "st": Method(
        name="st", loss=plain_loss, needs=("student_clean",), adversary=None, citation="training on clean images"
    ),
    "at": Method(
        name="at",
        loss=adversarial_loss,
        needs=("student_adversarial",),
        adversary=Adversary(objective="cross-entropy", start="uniform"),
        citation="Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, arXiv:1706.06083",
    ),
}
