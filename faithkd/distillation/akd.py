"""AKD: adversarial training whose labels are mixed with the outputs of one teacher or of an ensemble."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from faithkd.distillation.method import Adversary, Method, mixed


def loss(
    *,
    teacher_adversarial: Tensor,
    student_adversarial: Tensor,
    labels: Tensor,
    mixing: float = 0.5,
    weights: Sequence[float] = (),
) -> Tensor:
    """`CE(S(x'), a sum_i b_i T_i(x') + (1 - a) y)`, teachers detached (Maroto et al. 2022, Eqs. 3 and 4).

    teacher_adversarial: `(teachers, batch, classes)`. mixing: `a`. weights: `b`, one a teacher; none given stand for equal ones.
    """
    count = len(teacher_adversarial)
    b = teacher_adversarial.new_tensor(weights if len(weights) else [1 / count] * count)
    ensemble = torch.einsum("t,tbc->bc", b, torch.softmax(teacher_adversarial.detach(), dim=2))
    return functional.cross_entropy(student_adversarial, mixed(ensemble, labels, mixing))


METHOD = Method(
    name="akd",
    summary="adversarial training on labels mixed with one teacher's outputs or an ensemble's",
    loss=loss,
    adversary=Adversary(objective="cross-entropy", start="uniform"),
    teachers=None,
    citation="Maroto, Ortiz-Jimenez, Frossard: On the Benefits of Knowledge Distillation for Adversarial Robustness, 2022, "
    "arXiv:2203.07159",
)
