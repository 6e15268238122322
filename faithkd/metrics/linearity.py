"""How linear a network's loss is near an image (Qin et al. 2019), and what that says of a student beside its teacher (KDIGA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from faithkd.metrics.gradients import input_gradient
from verify import Region
from verify.attained.ascent import BestIterate, ascend, step_unit, uniform_starts


def local_linearity(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 20,
    valid_range: tuple[float, float] | None = (0.0, 1.0),
    seed: int = 0,
) -> Tensor:
    """`LLM = max_delta |CE(f(x + delta), y) - CE(f(x), y) - delta . grad_x CE(f(x), y)|` as far as it is found: `(n,)`.

    By `steps` sign steps of eps / 10 on the absolute value from one uniform start; the best iterate counts, as Shao et al. (2021) measure
    it. images: `(n, *shape)` in pixels, eps in pixel units, model in evaluation mode. A lower bound of the true maximum.
    """
    region = Region.ball(images, eps, valid_range)
    lower, upper = region.inner()
    centre = images.float().flatten(1)
    with torch.no_grad():
        value = functional.cross_entropy(model(images), labels, reduction="none")
    gradient = input_gradient(model, images, labels).flatten(1)

    def deviation(x: Tensor) -> Tensor:
        loss = functional.cross_entropy(model(x.view(-1, *region.shape)), labels, reduction="none")
        return (loss - value - ((x - centre) * gradient).sum(dim=1)).abs()

    start = uniform_starts(region, 1, seed)[:, 0]
    best = BestIterate(start)
    ascend(deviation, start, (lower, upper), steps=steps, step_size=0.1 * step_unit(region), observe=best.observe)
    return best.values


def transfer_estimate(
    teacher: nn.Module,
    student: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    valid_range: tuple[float, float] | None = (0.0, 1.0),
    seed: int = 0,
) -> Tensor:
    """An estimate of how far the student's loss can be from the teacher's on the ball: `(n,)`, never a certificate.

    `|L_s - L_t| + eps ||grad L_s - grad L_t||_1 + LLM_s + LLM_t`, `L` the cross-entropy at `x`: the right side of Shao et al. (2021),
    Proposition 2, with the norm that is dual to the ball's. With the true LLM the triangle inequality makes it a bound of
    `max_delta |L_s(x + delta) - L_t(x + delta)|`; `local_linearity` finds a lower bound of LLM only. Arguments as there.
    """
    networks = (student, teacher)
    with torch.no_grad():
        loss_s, loss_t = (functional.cross_entropy(f(images), labels, reduction="none") for f in networks)
    slope_s, slope_t = (input_gradient(f, images, labels).flatten(1) for f in networks)
    bent_s, bent_t = (local_linearity(f, images, labels, eps, valid_range=valid_range, seed=seed) for f in networks)
    return (loss_s - loss_t).abs() + eps * (slope_s - slope_t).abs().sum(dim=1) + bent_s + bent_t
