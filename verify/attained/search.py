"""The two searches for EMPLB. What a search finds is a lower bound with a witness; nothing here ever enters an upper bound."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.attained.ascent import BestIterate, Objective, ascend, image_points, step_unit, uniform_starts
from verify.measures.measure import Measure
from verify.network.graph import Network
from verify.region import Region

Pair = tuple[Network, Network]
# Runs of the targeted search that are worked on at once.
BATCH = 2048


def paper_search(
    networks: Pair, measure: Measure, region: Region, *, restarts: int = 5, steps: int = 50, seed: int = 0
) -> Tensor:
    """Inputs `(n, d)` float32 with a large value of the measure, by the paper's protocol (Lamb et al. 2023, Section 6).

    `restarts` uniform starts of `steps` sign-gradient steps of `2.5 eps / steps` maximise the measure itself; every iterate
    counts, and so does the image.
    """
    lower, upper = region.inner(torch.float32)
    owner = torch.arange(len(region), device=region.center.device).repeat_interleave(restarts)
    start = uniform_starts(region, restarts, seed).flatten(0, 1)
    best, objective = BestIterate(start), value_of(networks, measure)
    size = 2.5 * step_unit(region) / steps
    ascend(objective, start, (lower[owner], upper[owner]), steps=steps, step_size=size, observe=best.observe)
    return best_of_image(objective, image_points(region), best.points, owner)


def targeted_search(
    networks: Pair, measure: Measure, region: Region, open_queries: Tensor, *, steps: int = 60, seed: int = 0
) -> Tensor:
    """Inputs `(n, d)` float32, the best of one search for each open query of each image, or the image itself.

    open_queries: truth values `(n, queries)`. Each query is maximised from the image and two uniform starts; the step falls linearly from
    eps / 2 to eps / 50. It finds what the measure itself, stuck on one query, does not.
    """
    found, objective = image_points(region), value_of(networks, measure)
    lower, upper = region.inner(torch.float32)
    starts = torch.cat((found[:, None], uniform_starts(region, 2, seed + 1)), dim=1)
    unit = step_unit(region)
    image, query = open_queries.nonzero(as_tuple=True)
    teacher, student = (network.to(dtype=torch.float32) for network in networks)
    for part in torch.split(torch.arange(len(image), device=image.device), BATCH):
        owner, asked = (t[part].repeat_interleave(starts.shape[1]) for t in (image, query))
        start = starts[image[part]].flatten(0, 1)
        best = BestIterate(start)
        ascend(
            lambda x, asked=asked: measure.value_of(asked, teacher(x), student(x)),  # type: ignore[misc]
            start,
            (lower[owner], upper[owner]),
            steps=steps,
            step_size=lambda k: unit * (0.5 - 0.48 * k / max(steps - 1, 1)),
            observe=best.observe,
        )
        found = best_of_image(objective, found, best.points, owner)
    return found


def value_of(networks: Pair, measure: Measure) -> Objective:
    """The measure as a function of inputs, in float32."""
    teacher, student = (network.to(dtype=torch.float32) for network in networks)
    return lambda x: measure.value(teacher(x), student(x))


def best_of_image(objective: Objective, found: Tensor, points: Tensor, owner: Tensor) -> Tensor:
    """For each image the best of `found` `(n, d)` and of those points `(m, d)` whose `owner` `(m,)` it is."""
    with torch.no_grad():
        values = torch.cat((objective(found), objective(points))).nan_to_num(-torch.inf)
    owners = torch.cat((torch.arange(len(found), device=owner.device), owner))
    largest = torch.full((len(found),), -torch.inf, dtype=values.dtype, device=values.device)
    largest = largest.scatter_reduce(0, owners, values, "amax")
    places = torch.arange(len(owners), device=owners.device)
    attaining = torch.where(values == largest[owners], places, len(owners))
    first = torch.full_like(places[: len(found)], len(owners)).scatter_reduce(0, owners, attaining, "amin")
    return torch.cat((found, points))[first]
