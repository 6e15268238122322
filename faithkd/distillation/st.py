"""Plain training on clean images."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Method


def loss(*, student_clean: Tensor, labels: Tensor) -> Tensor:
    """`CE(S(x), y)`."""
    return functional.cross_entropy(student_clean, labels)


METHOD = Method(
    name="st",
    summary="plain training",
    loss=loss,
    adversary=None,
    teachers=0,
    citation="training on clean images",
)
