"""Projected sign-gradient ascent of any objective over a region, and where it starts."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor

from verify.region import Region

Objective = Callable[[Tensor], Tensor]
StepSize = float | Tensor | Callable[[int], float | Tensor]
Observer = Callable[[Tensor, Tensor], None]


def ascend(
    objective: Objective,
    start: Tensor,
    box: tuple[Tensor, Tensor],
    *,
    steps: int,
    step_size: StepSize,
    observe: Observer | None = None,
) -> Tensor:
    """The last iterate of `steps` sign-gradient steps from `start`, each projected onto the box `[lower, upper]`.

    objective: maps inputs `(n, ...)` to `(n,)` values, each depending on its own input only. step_size: a number (in the input's
    units), a tensor that broadcasts against `start`, or a function of the step's number. observe: called with every
    iterate and its values, `start` and the last one included.
    """
    x, (lower, upper) = start.detach(), box
    for step in range(steps):
        x.requires_grad_(True)
        values = objective(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        # Where the arithmetic overflows there is no direction, and the input stays where it is.
        gradient.nan_to_num_(0.0)
        if observe is not None:
            observe(x.detach(), values.detach())
        size = step_size(step) if callable(step_size) else step_size
        x = gradient.sign_().mul_(size).add_(x.detach()).clamp_(min=lower, max=upper)
    if observe is not None:
        with torch.no_grad():
            observe(x, objective(x))
    return x


class BestIterate:
    """Keeps for each of `m` runs the iterate of the largest value; its `observe` is a hook of `ascend`."""

    def __init__(self, start: Tensor) -> None:
        self.points = start.detach().clone()
        self.values = torch.full((len(start),), -torch.inf, dtype=start.dtype, device=start.device)

    def observe(self, x: Tensor, values: Tensor) -> None:
        """Take over the iterates whose values are larger than any before."""
        better = (values > self.values).nonzero()[:, 0]
        self.points[better] = x[better]
        self.values[better] = values[better]


def uniform_starts(region: Region, count: int, seed: int) -> Tensor:
    """`(n, count, d)` float32 uniform points of each region, which depend on the seed and the image's own bytes only."""
    lower, upper = region.inner(torch.float32)
    draws = torch.empty((len(region), count, region.center.shape[1]), dtype=torch.float32)
    for row, image in zip(draws, region.center.cpu().float().numpy(), strict=True):
        key = zlib.crc32(image.tobytes(), seed & 0xFFFFFFFF)
        row.copy_(torch.rand(row.shape, generator=torch.Generator().manual_seed(key)))
    points = lower[:, None] + (upper - lower)[:, None] * draws.to(lower.device)
    return torch.clamp(points, lower[:, None], upper[:, None])


def image_points(region: Region) -> Tensor:
    """The images themselves as float32 points `(n, d)` of their regions."""
    return torch.clamp(region.center.float(), *region.inner(torch.float32))


def step_unit(region: Region) -> Tensor:
    """The radius as a float32 tensor that broadcasts against points `(m, d)`."""
    return torch.as_tensor(region.eps, dtype=torch.float32, device=region.center.device)
