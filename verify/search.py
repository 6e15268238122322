"""Searches for inputs: projected sign-gradient ascent of any objective over a region, and the two searches for EMPLB.

What a search finds is a lower bound with a witness; nothing here ever enters an upper bound.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor

from verify.network import ReluNetwork
from verify.region import Region

Objective = Callable[[Tensor], Tensor]
StepSize = float | Tensor | Callable[[int], float | Tensor]


def ascend(
    objective: Objective,
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    steps: int,
    step_size: StepSize,
    observe: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """The last iterate of `steps` sign-gradient steps from `start`, each projected onto the box `[lower, upper]`.

    objective: maps inputs `(n, ...)` to `(n,)` values, each depending on its own input only. step_size: a number (in the input's
    units), a tensor that broadcasts against `start`, or a function of the step's number. observe: called with every
    iterate and its values, `start` and the last one included.
    """
    x = start.detach()
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


def paper_search(
    teacher: ReluNetwork, student: ReluNetwork, region: Region, *, restarts: int = 5, steps: int = 50, seed: int = 0
) -> Tensor:
    """Inputs `(n, d)` float32 with a large `||p_t - p_s||_inf`, by the paper's protocol (Lamb et al. 2023, Section 6).

    `restarts` uniform starts of `steps` sign-gradient steps of `2.5 eps / steps` maximise the infinity norm itself; every iterate
    counts, and so does the image.
    """
    lower, upper = region.inner(torch.float32)
    owner = torch.arange(len(region), device=region.center.device).repeat_interleave(restarts)
    start = uniform_starts(region, restarts, seed).flatten(0, 1)
    best = BestIterate(start)
    ascend(
        confidence_distance(teacher, student),
        start,
        lower[owner],
        upper[owner],
        steps=steps,
        step_size=2.5 * step_unit(region) / steps,
        observe=best.observe,
    )
    return best_of_image(teacher, student, image_points(region), best.points, owner)


def targeted_search(
    teacher: ReluNetwork,
    student: ReluNetwork,
    region: Region,
    open_queries: Tensor,
    *,
    steps: int = 60,
    seed: int = 0,
) -> Tensor:
    """Inputs `(n, d)` float32, the best of one search for each open query (class, sign) of each image, or the image itself.

    open_queries: truth values `(n, C, 2)`. Each query's `+-(p_t,i - p_s,i)` is maximised from the image and two uniform starts; the
    step falls linearly from eps / 2 to eps / 50. It finds what the infinity norm, stuck on one class, does not.
    """
    found = image_points(region)
    networks = teacher.to(dtype=torch.float32), student.to(dtype=torch.float32)
    lower, upper = region.inner(torch.float32)
    starts = torch.cat((found[:, None], uniform_starts(region, 2, seed + 1)), dim=1)
    unit = step_unit(region)
    image, label, sign = open_queries.nonzero(as_tuple=True)
    for part in torch.split(torch.arange(len(image), device=image.device), 2048):
        owner = image[part].repeat_interleave(starts.shape[1])
        objective = signed_difference(
            *networks,
            label[part].repeat_interleave(starts.shape[1]),
            1 - 2 * sign[part].repeat_interleave(starts.shape[1]),
        )
        start = starts[image[part]].flatten(0, 1)
        best = BestIterate(start)
        ascend(
            objective,
            start,
            lower[owner],
            upper[owner],
            steps=steps,
            step_size=lambda k: unit * (0.5 - 0.48 * k / max(steps - 1, 1)),
            observe=best.observe,
        )
        found = best_of_image(teacher, student, found, best.points, owner)
    return found


def confidence_distance(teacher: ReluNetwork, student: ReluNetwork) -> Objective:
    """The objective `||p_t(x) - p_s(x)||_inf`, in float32."""
    one, other = teacher.to(dtype=torch.float32), student.to(dtype=torch.float32)

    def objective(x: Tensor) -> Tensor:
        return (torch.softmax(one(x), dim=-1) - torch.softmax(other(x), dim=-1)).abs().amax(dim=-1)

    return objective


def signed_difference(teacher: ReluNetwork, student: ReluNetwork, label: Tensor, sign: Tensor) -> Objective:
    """The objective `sign (p_t,label - p_s,label)`, label and sign `(m,)`."""

    def objective(x: Tensor) -> Tensor:
        p_t, p_s = (torch.softmax(network(x), dim=-1).gather(1, label[:, None])[:, 0] for network in (teacher, student))
        return sign * (p_t - p_s)

    return objective


def best_of_image(teacher: ReluNetwork, student: ReluNetwork, found: Tensor, points: Tensor, owner: Tensor) -> Tensor:
    """For each image the best of `found` `(n, d)` and of those `points` `(m, d)` whose `owner` `(m,)` it is."""
    objective = confidence_distance(teacher, student)
    with torch.no_grad():
        values = torch.cat((objective(found), objective(points))).nan_to_num(-torch.inf)
    owners = torch.cat((torch.arange(len(found), device=owner.device), owner))
    largest = torch.full((len(found),), -torch.inf, dtype=values.dtype, device=values.device)
    largest = largest.scatter_reduce(0, owners, values, "amax")
    places = torch.arange(len(owners), device=owners.device)
    attaining = torch.where(values == largest[owners], places, len(owners))
    first = torch.full_like(places[: len(found)], len(owners)).scatter_reduce(0, owners, attaining, "amin")
    return torch.cat((found, points))[first]


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
    lower, upper = region.inner(torch.float32)
    return torch.clamp(region.center.float(), lower, upper)


def step_unit(region: Region) -> Tensor:
    """The radius as a float32 tensor that broadcasts against points `(m, d)`."""
    return torch.as_tensor(region.eps, dtype=torch.float32, device=region.center.device)
