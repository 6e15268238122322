"""KDIGA: the student has the teacher's outputs and its input gradients (Shao et al. 2021); the members differ in where."""

import inspect
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, kl

Place = Literal["clean", "adversarial"]


@dataclass(frozen=True)
class Aligned:
    """`a CE(S(.), y) + b T^2 KL(T(.) || S(.)) + c ||grad CE(S(.), y) - grad CE(T(.), y)||_2`, teacher detached (Eq. 5).

    labelled, teacher, student, gradients: the image of the cross-entropy, of the teacher's and of the student's outputs in the KL term,
    and of both gradients. The settings label_weight, alpha and gradient_weight are `a`, `b` and `c`; for iga_reduction see
    `gradient_distance`.
    """

    labelled: Place
    teacher: Place
    student: Place
    gradients: Place

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the logits and gradients, in the order of the formula."""
        logits = f"student_{self.labelled}", f"teacher_{self.teacher}", f"student_{self.student}"
        return (*logits, f"student_{self.gradients}_gradient", f"teacher_{self.gradients}_gradient")

    @property
    def __signature__(self) -> inspect.Signature:
        """That of a call, with the inputs by name."""
        _, *others, _ = inspect.signature(type(self).__call__).parameters.values()
        names = dict.fromkeys(self.inputs)
        return inspect.Signature(
            [*(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names), *others]
        )

    def __call__(
        self,
        *,
        labels: Tensor,
        label_weight: float = 0.5,
        alpha: float = 0.5,
        gradient_weight: float = 1.0,
        temperature: float = 1.0,
        iga_reduction: str = "image",
        kl_reduction: str = "batchmean",
        **inputs: Tensor,
    ) -> Tensor:
        """The loss."""
        if inputs.keys() != set(self.inputs):
            raise TypeError(f"the loss has the inputs {', '.join(self.inputs)}, but was given {', '.join(inputs)}")
        labelled, teacher, student, student_gradient, teacher_gradient = (inputs[name] for name in self.inputs)
        imitation = temperature**2 * kl(teacher.detach(), student, temperature, kl_reduction).mean()
        distance = gradient_distance(student_gradient, teacher_gradient, iga_reduction)
        return (
            label_weight * functional.cross_entropy(labelled, labels) + alpha * imitation + gradient_weight * distance
        )


def gradient_distance(student_gradient: Tensor, teacher_gradient: Tensor, iga_reduction: str) -> Tensor:
    """The distance of input gradients `(batch, *shape)`, one number (Eq. 5).

    iga_reduction: "image" for the mean of each image's l2 norm; "batch" for the official program's l2 norm over the whole batch at
    once, times the 1 / batch of its weight. Teacher detached.
    """
    differences = (student_gradient - teacher_gradient.detach()).flatten(1)
    norms: Tensor = torch.linalg.vector_norm(differences, dim=1)
    return torch.linalg.vector_norm(norms) / len(norms) if iga_reduction == "batch" else norms.mean()


CLEAN = Aligned(labelled="clean", teacher="clean", student="clean", gradients="clean")
UNIFORM = Adversary(objective="cross-entropy", start="uniform")
CITATION = "Shao, Yi, Chen, Hsieh: How and When Adversarial Robustness Transfers in Knowledge Distillation?, 2021, arXiv:2110.12072"
LOOPS = {"loops": 6, "later_rate": 0.01}
METHODS = (
    Method(
        name="kdiga",
        summary="the teacher's outputs and its input gradients",
        loss=CLEAN,
        adversary=None,
        citation=CITATION,
    ),
    Method(
        name="kdiga-fgsm",
        summary="kdiga at one-step adversarial images",
        loss=Aligned(labelled="adversarial", teacher="adversarial", student="adversarial", gradients="adversarial"),
        adversary=Adversary(objective="cross-entropy", start="image", one_step=1.0),
        citation=CITATION,
    ),
    Method(
        name="kdiga-ard-c",
        summary="ard with the teacher's input gradients at the clean image",
        loss=Aligned(labelled="clean", teacher="clean", student="adversarial", gradients="clean"),
        adversary=UNIFORM,
        citation=CITATION,
    ),
    Method(
        name="kdiga-ard-a",
        summary="both networks and their input gradients at the adversarial image",
        loss=Aligned(labelled="clean", teacher="adversarial", student="adversarial", gradients="adversarial"),
        adversary=UNIFORM,
        citation=CITATION,
    ),
    Method(
        name="isd-wot",
        summary="kdiga from itself again and again, after plain training",
        loss=CLEAN,
        adversary=None,
        options=LOOPS,
        teachers=0,
        loops="plain",
        citation=CITATION,
    ),
    Method(
        name="isd-wit",
        summary="kdiga from a robust teacher, then from itself again and again",
        loss=CLEAN,
        adversary=None,
        options=LOOPS,
        loops="teacher",
        citation=CITATION,
    ),
)
