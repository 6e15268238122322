"""The training adversary at work: a batch of images becomes a batch of adversarial ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from faithkd.distillation.method import Adversary, adversarial_objective
from faithkd.recipes import InnerAttack
from verify.attained.ascent import ascend


@dataclass(frozen=True)
class Reach:
    """How far an adversary may go: radius and step in pixel units, the number of steps, the cut, and the attacked network's mode."""

    radius: float
    step: float
    steps: int
    valid_range: tuple[float, float] | None
    attack_mode: str = "eval"

    def scaled(self, fraction: float) -> Reach:
        """The same with radius and step times `fraction`."""
        return replace(self, radius=fraction * self.radius, step=fraction * self.step)

    def of(self, adversary: Adversary) -> Reach:
        """The same for an adversary that may take one step only."""
        if adversary.one_step is None:
            return self
        return replace(self, step=adversary.one_step * self.radius, steps=1)


def overridden(adversary: Adversary, attack: InnerAttack) -> Adversary:
    """The method's adversary with what the recipe gives in its place."""
    given = {name: getattr(attack, name) for name in ("start", "teacher_input")}
    return replace(adversary, **{name: value for name, value in given.items() if value is not None})


def perturb(
    adversary: Adversary,
    reach: Reach,
    networks: tuple[nn.Module | None, nn.Module],
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """The last iterate of the adversary's ascent, of the shape of `images`. networks: teacher and student, in this order.

    Both networks are in evaluation mode meanwhile, the student in the reach's mode, and are left as they were found.
    """
    teacher, student = networks
    lower, upper = images - reach.radius, images + reach.radius
    if reach.valid_range is not None:
        lower, upper = lower.clamp_(min=reach.valid_range[0]), upper.clamp_(max=reach.valid_range[1])
    start = images
    if adversary.start == "uniform":
        draws = torch.rand(images.shape, generator=generator, device=images.device)
        start = torch.lerp(lower, upper, draws)
    elif adversary.start == "normal":
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        start = torch.clamp(images + 0.001 * noise, lower, upper)
    with ExitStack() as stack:
        if teacher is not None:
            stack.enter_context(frozen(teacher))
        stack.enter_context(frozen(student, reach.attack_mode))
        objective = adversarial_objective(adversary, teacher, student, images, labels)
        return ascend(objective, start, (lower, upper), steps=reach.steps, step_size=reach.step)


@contextmanager
def frozen(network: nn.Module, mode: str = "eval") -> Iterator[None]:
    """A mode and weights without gradients, until the block ends: only the input's gradient is worked out.

    mode: "eval" or "train". All modules' modes and running statistics are what they were when the block has ended.
    """
    modes = [(module, module.training) for module in network.modules()]
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    statistics = [(buffer, buffer.clone()) for buffer in network.buffers()] if mode == "train" else []
    network.train(mode == "train")
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        for module, was in modes:
            module.training = was
        with torch.no_grad():
            for buffer, before in statistics:
                buffer.copy_(before)
