"""How a search for free numbers steps: projected Adam, on each row by itself; the compiled search takes the same steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verify.passes.native.constants import FIRST_DECAY, SECOND_DECAY, SMALLEST_SPREAD


@dataclass(frozen=True)
class Schedule:
    """Projected Adam: steps; the first rate of slopes, of multipliers (as a part of the coefficients that they work against), and of an
    objective's own numbers (as a part of theirs); decay a step."""

    steps: int = 20
    slopes: float = 0.1
    multipliers: float = 0.3
    objective: float = 1.0
    decay: float = 0.93

    def scaled(self, factor: float) -> Schedule:
        """The same with all rates times the factor."""
        rates = {name: factor * getattr(self, name) for name in ("slopes", "multipliers", "objective")}
        return replace(self, **rates)

    def rates(self, loose: Tensor, outputs: Tensor) -> Tensor:
        """The rate `(n, width)` of every neuron's number; outputs `(n, width)`: the coefficients of the neurons' outputs."""
        size = outputs.abs()
        size = size + size.sum(dim=1, keepdim=True) / max(size.shape[1], 1)
        return torch.where(loose, self.slopes, self.multipliers * size)


def minimise(
    at: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    limits: tuple[Tensor, Tensor],
    schedule: Schedule,
    rates: Callable[[], Tensor],
) -> tuple[Tensor, Tensor]:
    """Projected Adam on each row of `start` `(n, k)` within the limits: the best iterates and their values `(n,)`.

    at: values and gradients; rates: asked for after the first evaluation.
    """
    low, high = limits
    x = torch.minimum(torch.maximum(start, low), high)
    first_moment, second_moment = torch.zeros_like(x), torch.zeros_like(x)
    best, least, rate = x, x.new_full((len(x),), torch.inf), x
    for step in range(schedule.steps + 1):
        value, gradient = at(x)
        better = value < least
        least, best = torch.where(better, value, least), torch.where(better[:, None], x, best)
        if step == schedule.steps:
            break
        rate = rates() if step == 0 else rate
        first_moment = torch.lerp(gradient, first_moment, FIRST_DECAY)
        second_moment = torch.addcmul(second_moment * SECOND_DECAY, gradient, gradient, value=1 - SECOND_DECAY)
        scale = schedule.decay**step / (1 - FIRST_DECAY ** (step + 1))
        spread = (second_moment / (1 - SECOND_DECAY ** (step + 1))).sqrt_().add_(SMALLEST_SPREAD)
        x = torch.addcdiv(x, rate * first_moment, spread, value=-scale)
        x = torch.minimum(torch.maximum(x, low), high)
    return best, least
