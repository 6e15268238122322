"""What a training method is: a loss as a pure function of logits, and the adversary it trains against, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

Settings = Mapping[str, Any]
INPUTS = (
    *(f"{who}_{at}{what}" for who in ("teacher", "student") for at in ("clean", "adversarial") for what in ("", "_gradient")),
    "judged_teacher",
    "judged_student",
    "epoch",
)  # fmt: skip
"""What a loss may ask for. `teacher_clean`: logits `(batch, classes)`, `(teachers, batch, classes)` for methods of several teachers;
`student_clean_gradient`: of each image's cross-entropy to the input, of the images' shape; `judged_*`: what a critic makes of such
gradients, `(batch,)`; `epoch`: whole epochs that have passed, a number."""


CHOICES = {
    "kl_reduction": ("batchmean", "mean"),
    "iga_reduction": ("image", "batch"),
    "teacher_input": ("clean", "adversarial"),
    "clean_term_teacher_input": ("clean", "adversarial"),
}
"""The settings that are words, and which. All others are numbers, but for `weights`, a list, and `gamma`, also "1 - w"."""


@dataclass(frozen=True)
class Adversary:
    """The inner maximisation that makes a training input.

    objective: "cross-entropy" of the student against the label, "kl" of student from teacher, or "self-kl" of student from itself
    at the clean image (both at temperature 1). teacher_input: for "kl", whether the teacher sees the clean or the adversarial image; with
    the second the gradient goes through both networks. start: "uniform" in the region, "normal", 0.001 N(0, 1) around the image
    in pixel units, or the "image" itself. one_step: for methods of a single step, its size as a share of the radius; the recipe's
    steps are then those of the held-out accuracy alone.
    """

    objective: Literal["cross-entropy", "kl", "self-kl"] = "cross-entropy"
    teacher_input: Literal["clean", "adversarial"] = "clean"
    start: Literal["uniform", "normal", "image"] = "uniform"
    one_step: float | None = None


@dataclass(frozen=True)
class Critic:
    """A second network that learns to tell the student's input gradients from the teacher's.

    build: makes it for images of a shape `(channels, height, width)`; it maps gradients `(batch, *shape)` to `(batch,)` logits. loss: of
    its logits on the teacher's and on the student's gradients, what it minimises. The method's options `critic_every` and
    `critic_rate` say every how many steps it learns, and at what rate of Adam.
    """

    build: Callable[[tuple[int, ...]], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """A way to train a network.

    loss: takes `labels` `(batch,)` and the `INPUTS` that it names by keyword, and settings, which are all other parameters and have a
    default; returns the mean over the batch. asks: of the inputs that have a default, those that the loss is given under some
    settings. adversary: None where no adversarial input is made. options: settings that training reads and the
    loss does not. teachers: how many there are to imitate, None for any number from 1. loops: the student becomes the teacher of the
    next loop; the first loop is "plain" training, or has the "teacher" that was given. Such a method's options are `loops`, and
    `later_rate`, the share of the rate in loops that start from a trained student.
    """

    name: str
    loss: Callable[..., Tensor]
    adversary: Adversary | None
    citation: str
    summary: str = ""
    options: Settings = field(default_factory=dict)
    teachers: int | None = 1
    loops: Literal["plain", "teacher"] | None = None
    critic: Critic | None = None
    asks: Callable[[Settings], Iterable[str]] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The inputs that the loss needs whatever the settings: its parameters without a default."""
        return tuple(p.name for p in self._parameters() if p.default is p.empty and p.name != "labels")

    @property
    def defaults(self) -> Settings:
        """The loss's settings in the source."""
        return {p.name: p.default for p in self._parameters() if p.default is not p.empty and p.name not in INPUTS}

    def inputs(self, settings: Settings) -> tuple[str, ...]:
        """What the loss needs under these settings, which stand before the defaults."""
        return (*self.needs, *(self.asks({**self.defaults, **settings}) if self.asks else ()))

    def _parameters(self) -> list[Parameter]:
        """Those that are given by keyword."""
        return [
            p for p in signature(self.loss).parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0, kl_reduction: str = "batchmean") -> Tensor:
    """`KL(softmax(teacher / T) || softmax(student / T))` of logits `(batch, classes)`: `(batch,)`, not multiplied by T^2.

    kl_reduction: "batchmean", or "mean", the mean over the elements of some official programs: divided by the number of classes.
    """
    assert teacher.shape == student.shape, "teacher and student have logits of one shape"
    log_t, log_s = (
        functional.log_softmax(teacher / temperature, dim=1),
        functional.log_softmax(student / temperature, dim=1),
    )
    return reduced((log_t.exp() * (log_t - log_s)).sum(dim=1), teacher.shape[1], kl_reduction)


def reduced(values: Tensor, classes: int, kl_reduction: str) -> Tensor:
    """Divergences `(batch,)` as they are for "batchmean", divided by the number of classes for "mean"."""
    return values / classes if kl_reduction == "mean" else values


def mixed(probabilities: Tensor, labels: Tensor, mixing: float) -> Tensor:
    """Label mixing, `a p + (1 - a) onehot(y)`: probabilities `(batch, classes)` (Maroto et al. 2022, Eq. 4)."""
    onehot = functional.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)
    return mixing * probabilities + (1 - mixing) * onehot


def adversarial_objective(
    adversary: Adversary, teacher: nn.Module | None, student: nn.Module, images: Tensor, labels: Tensor
) -> Callable[[Tensor], Tensor]:
    """The function of inputs `(n, ...)` with values `(n,)` that the adversary maximises."""
    if adversary.objective == "cross-entropy":
        return lambda x: functional.cross_entropy(student(x), labels, reduction="none")
    if adversary.objective == "self-kl":
        itself = student(images).detach()
        return lambda x: kl(itself, student(x))
    assert teacher is not None, "a kl adversary belongs to a method with a teacher"
    if adversary.teacher_input == "adversarial":
        return lambda x: kl(teacher(x), student(x))
    target = teacher(images).detach()
    return lambda x: kl(target, student(x))
