"""TRADES: clean cross-entropy, and the network's own outputs kept around the image."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, kl


def loss(
    *,
    student_clean: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    beta: float = 6.0,
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`CE(S(x), y) + b KL(S(x) || S(x'))`, the target not detached (Zhang et al. 2019, Eq. 5)."""
    itself = kl(student_clean, student_adversarial, 1.0, kl_reduction).mean()
    return functional.cross_entropy(student_clean, labels) + beta * itself


METHOD = Method(
    name="trades",
    summary="clean cross-entropy, and outputs that stay the same around the image",
    loss=loss,
    adversary=Adversary(objective="self-kl", start="normal"),
    teachers=0,
    citation="Zhang et al.: Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, arXiv:1901.08573",
)
