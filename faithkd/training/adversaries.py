"""The training adversary at work: a batch of images becomes a batch of adversarial ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faithkd.distillation.method import Adversary, adversarial_objective
from verify.search import ascend


@dataclass(frozen=True)
class Reach:
    """How far an adversary may go: radius and step in pixel units, the number of steps, and the cut."""

    radius: float
    step: float
    steps: int
    valid_range: tuple[float, float] | None

    def scaled(self, fraction: float) -> Reach:
        """The same with radius and step times `fraction`."""
        return Reach(fraction * self.radius, fraction * self.step, self.steps, self.valid_range)


def perturb(
    adversary: Adversary,
    reach: Reach,
    networks: tuple[nn.Module | None, nn.Module],
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """The last iterate of the adversary's ascent, of the shape of `images`. networks: teacher and student, in this order.

    Both networks are in evaluation mode meanwhile, and are left as they were found.
    """
    teacher, student = networks
    lower, upper = images - reach.radius, images + reach.radius
    if reach.valid_range is not None:
        lower, upper = lower.clamp_(min=reach.valid_range[0]), upper.clamp_(max=reach.valid_range[1])
    if adversary.start == "uniform":
        draws = torch.rand(images.shape, generator=generator, device=images.device)
        start = torch.lerp(lower, upper, draws)
    else:
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        start = torch.clamp(images + 0.001 * noise, lower, upper)
    with ExitStack() as stack:
        for network in networks:
            if network is not None:
                stack.enter_context(frozen(network))
        objective = adversarial_objective(adversary, teacher, student, images, labels)
        return ascend(objective, start, lower, upper, steps=reach.steps, step_size=reach.step)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and weights without gradients, until the block ends: only the input's gradient is worked out."""
    modes = [(module, module.training) for module in network.modules()]
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    network.eval()
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        for module, mode in modes:
            module.training = mode
