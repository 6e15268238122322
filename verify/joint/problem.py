"""What every bounding method is given, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.errors import Unsupported
from verify.measures.measure import Measure
from verify.network.graph import Network
from verify.region import Region
from verify.single.alone import Alone
from verify.single.crown import crown_bounds, optimised_bounds, optimised_rows, upper_bound
from verify.single.differences import difference_rows
from verify.single.layers import CHUNK, LayerBounds, in_chunks


@dataclass(frozen=True)
class Progress:
    """What a long method reports while it runs: images done of all, nodes so far, the mean interval of this batch."""

    images: int
    total: int
    nodes: int
    emplb: float
    faithub: float


@dataclass(frozen=True)
class Options:
    """How far a method may go.

    gap: difference of FAITHUB and EMPLB at which an image is closed. timeout: seconds an image; a batch shares n times that.
    max_nodes: branch and bound nodes an image, the repeatable limit. delta: stop as soon as FAITHUB is at most, or EMPLB above it.
    max_bytes: of open branch and bound nodes. solver: `auto`, `gurobi`, `highs` or `cbc`, for the programs.
    """

    gap: float = 0.01
    timeout: float = 30.0
    max_nodes: int | None = None
    delta: float | None = None
    solver: str = "auto"
    max_bytes: int = 2**30
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.gap):
            raise Unsupported(f"gap must be a finite number, but is {self.gap}")
        if not self.timeout >= 0:
            raise Unsupported(f"timeout must be a number of seconds of at least 0, but is {self.timeout}")
        if self.delta is not None and not 0 <= self.delta <= 1:
            raise Unsupported(f"delta must be a difference of confidences in [0, 1], but is {self.delta}")
        if self.max_nodes is not None and not self.max_nodes >= 0:
            raise Unsupported(f"max_nodes must be at least 0, but is {self.max_nodes}")
        if not self.max_bytes > 0:
            raise Unsupported(f"max_bytes must be larger than 0, but is {self.max_bytes}")

    @classmethod
    def of(cls, given: Options | None, timeout: float, limits: Mapping[str, object]) -> Options:
        """`given`, or those with this time limit, with the fields named in `limits` changed. Raises `Unsupported`."""
        names = [entry.name for entry in fields(cls)]
        if unknown := set(limits) - set(names):
            raise Unsupported(f"there is no option {min(unknown)!r}; there are {', '.join(names)}")
        return replace(given or cls(timeout=timeout), **limits)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Problem:
    """Two networks, teacher and student, over the regions of `n` images, and what of them is compared."""

    networks: tuple[Network, Network]
    region: Region
    measure: Measure
    options: Options

    def part(self, images: Tensor) -> Problem:
        """The same for some of the images, at positions `(m,)`."""
        return Problem(self.networks, self.region[images], self.measure, self.options)

    def report(self, done: int, nodes: int, incumbent: Incumbent, queries: Tensor) -> None:
        """Tell who wants to know how far the work is."""
        if self.options.progress is not None:
            means = float(incumbent.emplb.mean()), float(queries.amax(dim=1).mean())
            self.options.progress(Progress(done, len(self.region), nodes, *means))

    @cached_property
    def layers(self) -> tuple[LayerBounds, LayerBounds]:
        """The CROWN bounds of both networks' layers."""
        teacher, student = (in_chunks(lambda part, n=n: crown_bounds(n, part), self.region) for n in self.networks)  # type: ignore[misc]
        return teacher, student

    @cached_property
    def crown(self) -> Alone:
        """The layers and all logit differences by CROWN."""
        return self._alone(upper_bound, lambda network, region, bounds: bounds)

    @cached_property
    def tight(self) -> Alone:
        """The same with optimised slopes."""
        return self._alone(optimised_rows, optimised_bounds)

    def overflowed(self, faithub: Tensor) -> Tensor:
        """`(n,)` truth values: the images of which nothing is proved, because a network's numbers are beyond what can be computed with."""
        over = faithub >= self.measure.largest
        if bool(over.any()):
            teacher, student = self.layers
            over = over & ~(teacher.finite() & student.finite())
        return over

    def _alone(
        self,
        bound_rows: Callable[[Network, Region, LayerBounds, Tensor], Tensor],
        refine: Callable[[Network, Region, LayerBounds], LayerBounds],
    ) -> Alone:
        layers, differences = [], []
        for network, bounds in zip(self.networks, self.layers, strict=True):
            rows, own, upper = difference_rows(network), [], []
            for start in range(0, len(self.region), CHUNK):
                part = slice(start, start + CHUNK)
                own.append(refine(network, self.region[part], bounds[part]))
                upper.append(bound_rows(network, self.region[part], own[-1], rows))
            layers.append(LayerBounds.joined(own))
            differences.append(torch.cat(upper).reshape(-1, network.classes, network.classes))
        return Alone((layers[0], layers[1]), (differences[0], differences[1]))


@dataclass(frozen=True)
class Outcome:
    """Upper bounds `(n, queries)` of every query; nodes `(n,)`; status an image where the method can stop early.

    incumbent: what the method met, None where it met nothing. root: the largest bound `(n,)` of each image before any split, where there
    are splits. interrupted: whether Ctrl-C ended it.
    """

    queries: Tensor
    nodes: Tensor | None = None
    status: tuple[str, ...] | None = None
    incumbent: Incumbent | None = None
    root: Tensor | None = None
    interrupted: bool = False
