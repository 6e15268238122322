"""What every bounding method is given, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from verify.crown import crown_bounds, optimised_bounds, optimised_rows, upper_bound
from verify.errors import Unsupported
from verify.interval import LayerBounds
from verify.network import ReluNetwork
from verify.region import Region
from verify.softmax import difference_rows

CHUNK = 16
# The largest bound that a row can hold, a float32 number, with room for what is computed from it.
LARGEST_ROW = 1e37

RowBounds = Callable[[ReluNetwork, Region, LayerBounds, Tensor], Tensor]
LayerRefinement = Callable[[ReluNetwork, Region, LayerBounds], LayerBounds]


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
        if unknown := set(limits) - {entry.name for entry in fields(cls)}:
            raise Unsupported(
                f"there is no option {min(unknown)!r}; there are {', '.join(e.name for e in fields(cls))}"
            )
        return replace(given or cls(timeout=timeout), **limits)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Alone:
    """Bounds of each network alone, teacher's and student's: layers, and upper bounds `(n, C, C)` of `d[i, j] = z_j - z_i`."""

    layers: tuple[LayerBounds, LayerBounds]
    differences: tuple[Tensor, Tensor]

    def representable(self) -> Tensor:
        """`(n,)` truth values: the images all of whose bounds are finite float32 numbers, as those of rows are."""
        parts = [side for bounds in self.layers for side in (*bounds.lower, *bounds.upper)]
        parts += [upper.flatten(1) for upper in self.differences]
        return torch.stack([(part.abs() <= LARGEST_ROW).all(dim=1) for part in parts]).all(dim=0)


@dataclass
class Problem:
    """Two networks over the regions of `n` images.

    emplb `(n,)` is what the witness `(n, d)`, float64, is proved to attain: it may decide where a method works, never what it returns.
    """

    teacher: ReluNetwork
    student: ReluNetwork
    region: Region
    options: Options
    emplb: Tensor
    witness: Tensor
    _layers: tuple[LayerBounds, LayerBounds] | None = None
    _crown: Alone | None = None
    _tight: Alone | None = None

    @property
    def classes(self) -> int:
        """Number of classes of both networks."""
        return self.teacher.classes

    def part(self, images: Tensor) -> Problem:
        """The same for some of the images, at positions `(m,)`."""
        return Problem(
            self.teacher, self.student, self.region[images], self.options, self.emplb[images], self.witness[images]
        )

    def layers(self) -> tuple[LayerBounds, LayerBounds]:
        """The CROWN bounds of the teacher's and of the student's layers, computed once."""
        if self._layers is None:
            self._layers = (
                in_chunks(lambda part: crown_bounds(self.teacher, part), self.region),
                in_chunks(lambda part: crown_bounds(self.student, part), self.region),
            )
        return self._layers

    def crown(self) -> Alone:
        """The layers and all logit differences by CROWN, computed once."""
        if self._crown is None:
            self._crown = self._alone(upper_bound)
        return self._crown

    def tight(self) -> Alone:
        """The same with optimised slopes, computed once."""
        if self._tight is None:
            self._tight = self._alone(optimised_rows, optimised_bounds)
        return self._tight

    def overflowed(self, faithub: Tensor) -> Tensor:
        """`(n,)` truth values: the images of which nothing is proved, because a network's numbers are beyond what can be computed with."""
        over = faithub >= 1
        if bool(over.any()):
            teacher, student = self.layers()
            over = over & ~(teacher.finite() & student.finite())
        return over

    def _alone(self, bound_rows: RowBounds, refine: LayerRefinement | None = None) -> Alone:
        layers, differences = [], []
        for network, bounds in zip((self.teacher, self.student), self.layers(), strict=True):
            rows = difference_rows(network.classes, network.dtype, network.device)
            own, upper = [], []
            for start in range(0, len(self.region), CHUNK):
                part = slice(start, start + CHUNK)
                region = self.region[part]
                own.append(bounds[part] if refine is None else refine(network, region, bounds[part]))
                upper.append(bound_rows(network, region, own[-1], rows))
            layers.append(joined(own))
            differences.append(torch.cat(upper).reshape(len(self.region), network.classes, network.classes))
        return Alone((layers[0], layers[1]), (differences[0], differences[1]))


@dataclass(frozen=True)
class Outcome:
    """Upper bounds `(n, C, 2)` of every query (class, sign); nodes `(n,)`; status an image where the method can stop early.

    witness: inputs `(n, d)` that the method met, which may attain more than the problem's own; None for none.
    root: the largest bound `(n,)` of each image before any split, where there are splits. interrupted: whether Ctrl-C ended it.
    """

    queries: Tensor
    nodes: Tensor | None = None
    status: tuple[str, ...] | None = None
    witness: Tensor | None = None
    root: Tensor | None = None
    interrupted: bool = False


def in_chunks(compute: Callable[[Region], LayerBounds], region: Region) -> LayerBounds:
    """`compute` over at most CHUNK images at a time, so that memory does not grow with their number."""
    return joined([compute(region[start : start + CHUNK]) for start in range(0, len(region), CHUNK)])


def joined(parts: list[LayerBounds]) -> LayerBounds:
    """The bounds of all images of several batches."""
    return LayerBounds(
        tuple(torch.cat(layer) for layer in zip(*(part.lower for part in parts), strict=True)),
        tuple(torch.cat(layer) for layer in zip(*(part.upper for part in parts), strict=True)),
    )
