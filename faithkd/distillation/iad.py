"""IAD: distillation that trusts itself where its robust teacher fails on the student's adversarial images (Zhu et al. 2022)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, kl


@dataclass(frozen=True)
class One:
    """`a CE(S(x), y) + (1 - a) [T^2 KL(T(x) || S(x')) + g KL(S(x) || S(x'))]`, `w = T(x')_y ^ beta`, `g = 1 - w`.

    The teacher is detached; the student's own target is not, as in the official program, and has temperature 1. warm_up: epochs with
    `w = 1`. weigh_teacher: multiply the teacher's term with `w`.
    """

    weigh_teacher: bool

    def __call__(
        self,
        *,
        teacher_clean: Tensor,
        teacher_adversarial: Tensor,
        student_clean: Tensor,
        student_adversarial: Tensor,
        labels: Tensor,
        epoch: int,
        alpha: float = 0.0,
        temperature: float = 1.0,
        beta: float = 0.1,
        gamma: float | str = "1 - w",
        warm_up: int = 60,
        kl_reduction: str = "batchmean",
    ) -> Tensor:
        """The loss."""
        w = trust(teacher_adversarial, labels, beta, warming_up=epoch < warm_up)
        teacher = temperature**2 * kl(teacher_clean.detach(), student_adversarial, temperature, kl_reduction)
        itself = self_trust(w, gamma) * kl(student_clean, student_adversarial, 1.0, kl_reduction)
        introspective = ((w * teacher if self.weigh_teacher else teacher) + itself).mean()
        return alpha * functional.cross_entropy(student_clean, labels) + (1 - alpha) * introspective


def two(
    *,
    teacher_adversarial: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    epoch: int,
    label_weight: float = 0.25,
    robust_weight: float = 0.5,
    standard_weight: float = 0.25,
    temperature: float = 1.0,
    beta: float = 0.1,
    gamma: float | str = "1 - w",
    warm_up: int = 40,
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`l1 CE(S(x'), y) + l2 T^2 [w KL(T_adv(x') || S(x')) + g KL(S(x) || S(x'))] + l3 T^2 KL(T_std(x') || S(x'))`.

    teacher_adversarial: `(2, batch, classes)`, the robust teacher's logits, then the standard one's; both detached, the student's
    own target is not. `w = T_adv(x')_y ^ beta`, 1 in the first `warm_up` epochs. gamma: "1 - w", or a constant; 0 is "partial trust".
    """
    w = trust(teacher_adversarial[0], labels, beta, warming_up=epoch < warm_up)
    robust, standard = (
        kl(teacher.detach(), student_adversarial, temperature, kl_reduction) for teacher in teacher_adversarial
    )
    itself = kl(student_clean, student_adversarial, temperature, kl_reduction)
    introspective = w * robust + self_trust(w, gamma) * itself
    imitation = temperature**2 * (robust_weight * introspective + standard_weight * standard).mean()
    return label_weight * functional.cross_entropy(student_adversarial, labels) + imitation


def trust(teacher_adversarial: Tensor, labels: Tensor, beta: float, warming_up: bool) -> Tensor:
    """`w = T(x')_y ^ beta`, `(batch,)`, and 1 while warming up (Eq. 4)."""
    if warming_up:
        return torch.ones_like(labels, dtype=teacher_adversarial.dtype)
    right = torch.softmax(teacher_adversarial.detach(), dim=1).gather(1, labels[:, None])[:, 0]
    return right**beta


def self_trust(w: Tensor, gamma: float | str) -> Tensor:
    """The weight of the student's own outputs, `(batch,)`: `1 - w` for "1 - w", else the constant."""
    return 1 - w if isinstance(gamma, str) else torch.full_like(w, gamma)


ADVERSARY = Adversary(objective="cross-entropy", start="uniform")
CITATION = "Zhu et al.: Reliable Adversarial Distillation with Unreliable Teachers, ICLR 2022, arXiv:2106.04928"
METHODS = (
    Method(
        name="iad-1",
        summary="ard, and the student's own outputs where the teacher fails at the adversarial image",
        loss=One(weigh_teacher=False),
        adversary=ADVERSARY,
        citation=CITATION,
    ),
    Method(
        name="iad-1-down",
        summary="iad-1 with the teacher's term weighed by the trust in it",
        loss=One(weigh_teacher=True),
        adversary=ADVERSARY,
        citation=CITATION,
    ),
    Method(
        name="iad-2",
        summary="akd2, and the student's own outputs where the robust teacher fails",
        loss=two,
        adversary=ADVERSARY,
        teachers=2,
        citation=CITATION,
    ),
)
