"""Decisions on a region: do two networks agree on all of it, and does one network keep its class on all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.attained.ascent import ascend, image_points, step_unit, uniform_starts
from verify.attained.replay import decided
from verify.branching.bounding import Effort
from verify.branching.loop import Loop, Plan
from verify.branching.target import Fixed
from verify.entry import question
from verify.errors import Unsupported
from verify.joint.problem import Options, Problem
from verify.measures.margin import Margin
from verify.network import Module, Network, read, read_pair
from verify.passes.optimise import Schedule
from verify.region import Region, shortest
from verify.rounding import TINY
from verify.single.crown import crown_bounds, optimised_rows, upper_bound
from verify.single.layers import CHUNK

# Agreement by branch and bound: how many nodes an image has, and what one is worth. All are needed: there is no best one to begin with.
MAX_NODES = 400
EFFORT = Effort(Schedule(steps=25), Schedule(steps=25), 1)
PLAN = Plan(EFFORT, EFFORT, stages=(), picks=(MAX_NODES, MAX_NODES, 1.0))


@dataclass(frozen=True)
class Decisions:
    """For each of `n` images `certified` (holds on the whole region, under any tie-breaking), `refuted` or `undecided`.

    witness: `(n, *shape)`, float32 unless a region holds no float32 input; where refuted, an input of the region that refutes it beyond
    rounding, else the image.
    """

    status: tuple[str, ...]
    witness: Tensor

    def share(self, status: str) -> float:
        """The share of the images with this status."""
        return self.status.count(status) / len(self.status)


@question
def agreement(
    teacher: Module,
    student: Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    valid_range: tuple[float, float] | None = (0.0, 1.0),
    search: bool = True,
    seed: int = 0,
) -> Decisions:
    """Do teacher and student decide alike on the whole ball around each image.

    Certified when both keep the class of the image on the region (proved margins), or when no two different classes can win at one input
    (verify/measures/margin.py); refuted by an input where both decisions are proved and differ. Arguments as for `verify.faithfulness`.
    """
    region = Region.ball(images, eps, valid_range)
    pair = read_pair(teacher, student, region)
    classes = tuple(decided(network, region.center) for network in pair)
    start = region.project(image_points(region))
    witness, refuted = start, _disagree(*pair, start)
    if search:
        for network, kept in zip(pair, classes, strict=True):
            points = margin_search(network, region, kept.clamp(min=0), seed, lambda x: _disagree(*pair, x))
            new = _disagree(*pair, points) & ~refuted
            witness, refuted = torch.where(new[:, None], points, witness), refuted | new
    alike = (classes[0] == classes[1]) & (classes[0] >= 0) & ~refuted
    certified = torch.zeros_like(alike)
    for part in torch.split(alike.nonzero()[:, 0], CHUNK):
        for network in pair:
            part = part[keeps_class(network, region[part], classes[0][part])]
        certified[part] = True
    for part in torch.split((~certified & ~refuted).nonzero()[:, 0], CHUNK):
        if len(part):
            certified[part] = always_agree(pair, region[part])
    return _decisions(certified, refuted, witness, region)


@question
def robustness(
    network: Module,
    images: Tensor,
    labels: Tensor,
    eps: float | Tensor,
    *,
    valid_range: tuple[float, float] | None = (0.0, 1.0),
    search: bool = True,
    seed: int = 0,
) -> Decisions:
    """Does one network decide the label on the whole ball around each image; labels `(n,)`. Arguments as for `faithfulness`."""
    region = Region.ball(images, eps, valid_range)
    found = read(network, region)
    labels = _labels(labels, len(region), found.classes).to(region.center.device)
    start = region.project(image_points(region))

    def decides_other(points: Tensor) -> Tensor:
        return _proved_where(
            found(points).argmax(dim=1) != labels, points, lambda part, x: _differ(decided(found, x), labels[part])
        )

    witness, refuted = start, decides_other(start)
    if search:
        points = margin_search(found, region, labels, seed, decides_other)
        new = decides_other(points) & ~refuted
        witness, refuted = torch.where(new[:, None], points, witness), refuted | new
    certified = torch.zeros_like(refuted)
    for part in torch.split((~refuted).nonzero()[:, 0], CHUNK):
        certified[part] = keeps_class(found, region[part], labels[part])
    return _decisions(certified, refuted, witness, region)


def _labels(labels: Tensor, count: int, classes: int) -> Tensor:
    """The labels as they are. Raises `Unsupported` unless there is one class for each image."""
    labels = torch.as_tensor(labels)
    if labels.shape != (count,) or labels.is_floating_point():
        raise Unsupported(
            f"labels must be {count} integers, one for each image, but are {tuple(labels.shape)} {labels.dtype}"
        )
    if not bool(((labels >= 0) & (labels < classes)).all()):
        raise Unsupported(
            f"labels must be classes from 0 to {classes - 1}, but go from {labels.min()} to {labels.max()}"
        )
    return labels.to(torch.int64)


def always_agree(pair: tuple[Network, Network], region: Region) -> Tensor:
    """`(n,)` truth values: is it proved that both networks decide alike everywhere in the region, whatever the class."""
    problem = Problem(pair, region, Margin(pair[0].classes), Options(max_nodes=MAX_NODES, timeout=torch.inf))
    best = problem.measure.separate(problem.tight)
    loop = Loop(problem, best, Fixed(best.new_full((len(region),), -TINY)), PLAN)
    loop.run()
    if loop.interrupted:
        raise KeyboardInterrupt
    return loop.bounds().amax(dim=1) < 0


def keeps_class(network: Network, region: Region, classes: Tensor) -> Tensor:
    """`(n,)` truth values: is `z_c > z_j` proved on the whole region for every other class j; classes `(n,)` holds c.

    CROWN of the rows `e_j - e_c`, then optimised slopes for the images that it leaves open.
    """
    kept = torch.zeros(len(region), dtype=torch.bool, device=classes.device)
    if len(region) == 0:
        return kept
    layers = crown_bounds(network, region)
    rows = _margin_rows(network, classes)
    kept = (upper_bound(network, region, layers, rows) < 0).all(dim=1)
    rest = (~kept).nonzero()[:, 0]
    if len(rest) > 0:
        kept[rest] = (optimised_rows(network, region[rest], layers[rest], rows[rest]) < 0).all(dim=1)
    return kept


def margin_search(
    network: Network,
    region: Region,
    classes: Tensor,
    seed: int,
    succeeds: Callable[[Tensor], Tensor],
    steps: int = 50,
) -> Tensor:
    """Inputs `(n, d)` that push the network off class c `(n,)`: cross-entropy ascent, one uniform start, `2.5 eps / steps`.

    Of all iterates the first that `succeeds` is kept, else the last.
    """
    lower, upper = region.inner(torch.float32)
    single = network.to(dtype=torch.float32)
    found = torch.zeros(len(region), dtype=torch.bool, device=classes.device)
    kept = region.project(image_points(region))

    def observe(x: Tensor, values: Tensor) -> None:
        nonlocal found, kept
        x = region.project(x)
        new = succeeds(x) & ~found
        kept = torch.where(new[:, None] | ~found[:, None], x, kept)
        found = found | new

    ascend(
        lambda x: torch.nn.functional.cross_entropy(single(x), classes, reduction="none"),
        uniform_starts(region, 1, seed)[:, 0],
        (lower, upper),
        steps=steps,
        step_size=2.5 * step_unit(region) / steps,
        observe=observe,
    )
    return kept


def _disagree(teacher: Network, student: Network, points: Tensor) -> Tensor:
    likely = teacher(points).argmax(dim=1) != student(points).argmax(dim=1)
    return _proved_where(likely, points, lambda _, x: _differ(decided(teacher, x), decided(student, x)))


def _differ(one: Tensor, other: Tensor) -> Tensor:
    """Truth values: are two decisions known and not the same."""
    return (one >= 0) & (other >= 0) & (one != other)


def _proved_where(likely: Tensor, points: Tensor, prove: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Truth values `(n,)`: what `prove` says of those points that are likely to have it, at their positions; False of all others."""
    part = likely.nonzero()[:, 0]
    return (
        torch.zeros_like(likely).index_copy(0, part, prove(part, points[part]))
        if len(part)
        else torch.zeros_like(likely)
    )


def _margin_rows(network: Network, classes: Tensor) -> Tensor:
    """Rows `(n, C - 1, C)`: `e_j - e_c` for every class j but c."""
    identity = torch.eye(network.classes, dtype=network.dtype, device=network.device)
    others = torch.arange(network.classes, device=classes.device) != classes[:, None]
    rows = identity[None] - identity[classes][:, None]
    return rows[others].reshape(len(classes), network.classes - 1, network.classes)


def _decisions(certified: Tensor, refuted: Tensor, witness: Tensor, region: Region) -> Decisions:
    assert not bool((certified & refuted).any()), "a decision was certified and refuted at once: a bound is wrong"
    status = tuple(
        "certified" if c else "refuted" if r else "undecided"
        for c, r in zip(certified.tolist(), refuted.tolist(), strict=True)
    )
    return Decisions(status, shortest(witness).reshape(len(region), *region.shape))
