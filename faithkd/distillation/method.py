"""What a distillation method is: a loss as a pure function of logits, and the adversary it trains against, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Logits = Literal["teacher_clean", "teacher_adversarial", "student_clean", "student_adversarial"]


@dataclass(frozen=True)
class Adversary:
    """The inner maximisation that makes a training input.

    objective: "cross-entropy" of the student against the label, or "kl" of student from teacher (temperature 1). teacher_input: for
    "kl", whether the teacher sees the clean or the adversarial image; with the second the gradient goes through both networks.
    start: "uniform" in the region, or "normal", 0.001 N(0, 1) around the image, pixel units.
    """

    objective: Literal["cross-entropy", "kl"] = "cross-entropy"
    teacher_input: Literal["clean", "adversarial"] = "clean"
    start: Literal["uniform", "normal"] = "uniform"


@dataclass(frozen=True)
class Method:
    """A way to train a network.

    loss: takes the logits that `needs` names, each `(batch, classes)`, and `labels` `(batch,)` by keyword, and the method's settings;
    returns the mean over the batch. adversary: None where no adversarial input is made. defaults: the settings of the source.
    """

    name: str
    loss: Callable[..., Tensor]
    needs: tuple[Logits, ...]
    adversary: Adversary | None
    citation: str
    defaults: Mapping[str, float] = field(default_factory=dict)

    @property
    def needs_teacher(self) -> bool:
        """Whether there is a teacher to imitate."""
        return any(name.startswith("teacher") for name in self.needs)


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """`KL(softmax(teacher / T) || softmax(student / T))` of logits `(batch, classes)`: `(batch,)`, not multiplied by T^2."""
    log_t, log_s = (
        functional.log_softmax(teacher / temperature, dim=1),
        functional.log_softmax(student / temperature, dim=1),
    )
    return (log_t.exp() * (log_t - log_s)).sum(dim=1)


def adversarial_objective(
    adversary: Adversary, teacher: nn.Module | None, student: nn.Module, images: Tensor, labels: Tensor
) -> Callable[[Tensor], Tensor]:
    """The function of inputs `(n, ...)` with values `(n,)` that the adversary maximises."""
    if adversary.objective == "cross-entropy":
        return lambda x: functional.cross_entropy(student(x), labels, reduction="none")
    assert teacher is not None, "a kl adversary belongs to a method with a teacher"
    if adversary.teacher_input == "adversarial":
        return lambda x: kl(teacher(x), student(x))
    target = teacher(images).detach()
    return lambda x: kl(target, student(x))
