"""Robust soft label adversarial distillation: the teacher's soft labels replace the hard ones everywhere, in the attack too."""

from torch import Tensor

from faithkd.distillation.method import Adversary, Method, kl


def loss(
    *,
    teacher_clean: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    alpha: float = 5 / 6,
    temperature: float = 1.0,
) -> Tensor:
    """`T^2 (a KL(T(x) || S(x')) + (1 - a) KL(T(x) || S(x)))`, teacher detached (Zi et al. 2021, temperature 1).

    `labels` take no part: they are accepted so that every method has one signature.
    """
    target = teacher_clean.detach()
    adversarial = kl(target, student_adversarial, temperature).mean()
    clean = kl(target, student_clean, temperature).mean()
    return temperature**2 * (alpha * adversarial + (1 - alpha) * clean)


METHOD = Method(
    name="rslad",
    loss=loss,
    needs=("teacher_clean", "student_clean", "student_adversarial"),
    adversary=Adversary(objective="kl", teacher_input="clean", start="normal"),
    defaults={"alpha": 5 / 6, "temperature": 1.0},
    citation="Zi, Zhao, Ma, Jiang: Revisiting Adversarial Robustness Distillation, ICCV 2021, arXiv:2108.07969",
)
