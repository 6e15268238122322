"""Adversarial training ("SAT"), and the fast one: one step of 1.25 times the radius (10/255 at 8/255); with a cyclic rate."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method


def loss(*, student_adversarial: Tensor, labels: Tensor) -> Tensor:
    """`CE(S(x'), y)` (Madry et al. 2018)."""
    return functional.cross_entropy(student_adversarial, labels)


METHODS = (
    Method(
        name="at",
        summary="adversarial training by several steps on the cross-entropy",
        loss=loss,
        adversary=Adversary(objective="cross-entropy", start="uniform"),
        teachers=0,
        citation="Madry et al.: Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, arXiv:1706.06083",
    ),
    Method(
        name="at-ffgsm",
        summary="adversarial training by one step from a uniform start",
        loss=loss,
        adversary=Adversary(objective="cross-entropy", start="uniform", one_step=1.25),
        teachers=0,
        citation="Wong, Rice, Kolter: Fast Is Better Than Free, ICLR 2020, arXiv:2001.03994",
    ),
)
