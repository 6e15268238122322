"""AKD2: hard labels, a robust and a standard teacher together, all at the adversarial image."""

from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, kl


def loss(
    *,
    teacher_adversarial: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    label_weight: float = 0.25,
    robust_weight: float = 0.5,
    standard_weight: float = 0.25,
    temperature: float = 1.0,
    kl_reduction: str = "batchmean",
) -> Tensor:
    """`l1 CE(S(x'), y) + l2 T^2 KL(T_adv(x') || S(x')) + l3 T^2 KL(T_std(x') || S(x'))` (Chen et al. 2021).

    teacher_adversarial: `(2, batch, classes)`, the robust teacher's logits, then the standard one's; both detached.
    """
    robust, standard = (
        kl(teacher.detach(), student_adversarial, temperature, kl_reduction).mean() for teacher in teacher_adversarial
    )
    imitation = temperature**2 * (robust_weight * robust + standard_weight * standard)
    return label_weight * functional.cross_entropy(student_adversarial, labels) + imitation


METHOD = Method(
    name="akd2",
    summary="hard labels, a robust and a standard teacher at the adversarial image",
    loss=loss,
    adversary=Adversary(objective="cross-entropy", start="uniform"),
    teachers=2,
    citation="Chen et al.: Robust Overfitting May Be Mitigated by Properly Learned Smoothening, ICLR 2021; settings of "
    "arXiv:2106.04928",
)
