"""Projected gradient descent (Madry et al. 2018) on the network's own cross-entropy."""

from torch import Tensor
from torch.nn import functional

from faithkd.attacks.template import Attack


def pgd(steps: int = 50, step: float | None = None) -> Attack:
    """`steps` sign steps of `step` times the radius (default 2.5 / steps) from a uniform start."""
    return Attack(f"pgd-{steps}", cross_entropy, steps, 2.5 / steps if step is None else step)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits `(n, classes)` against labels `(n,)`: `(n,)`."""
    return functional.cross_entropy(logits, labels, reduction="none")
