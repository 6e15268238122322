"""The largest differences of confidences over a box: what is certainly met, and for one wide input what is certainly not passed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracle.confidences import certainly_below, difference
from tests.oracle.exact import Network, Rationals
from tests.oracle.maximum import extremes
from tests.oracle.pieces import pieces, refined

Floats = NDArray[np.float64]
Point = list[Fraction]
Box = list[tuple[Fraction, Fraction]]

# Networks with more hidden neurons, or boxes of several inputs with more classes, are only asked at points: pieces take too long.
MOST_HIDDEN, MOST_CLASSES = 120, 12
# How far from a certain value a float64 one can be: what is nearer is decided by intervals of 70 digits.
NEAR = 1e-9


@dataclass(frozen=True)
class Truth:
    """places `(C, 2)`: for every query (class, sign) an input where it is large; met: its value there in float64, within NEAR; upper: what
    no input of the box passes, infinite where that is not known."""

    teacher: Network
    student: Network
    places: list[list[Point]]
    met: Floats
    upper: Floats

    def value(self, label: int, sign: int) -> Any:
        """The query's value at its place, as an interval of 70 digits."""
        return signed_difference(self.teacher, self.student, self.places[label][sign], label, sign)

    def exceeds(self, bounds: Floats) -> tuple[int, int] | None:
        """A query (class, sign) that certainly takes a value above its bound `(C, 2)` (or above one bound for all), or None."""
        bounds = np.broadcast_to(bounds, self.met.shape)
        for label, sign in sorted(
            zip(*np.nonzero(~(bounds > self.met + NEAR)), strict=True), key=lambda q: -self.met[q]
        ):
            if certainly_below(float(bounds[label, sign]), self.value(label, sign)):
                return int(label), int(sign)
        return None

    @property
    def most(self) -> float:
        """What no query passes anywhere in the box."""
        return float(self.upper.max())


def signed_difference(teacher: Network, student: Network, point: Point, label: int, sign: int) -> Any:
    """`p_t,label - p_s,label`, or for sign 1 its negative, as an interval."""
    interval = difference(teacher, student, point, label)
    return -interval if sign else interval


def truth(teacher: Network, student: Network, box: Box, seed: int = 0) -> Truth:
    """The truth over a box with ends over powers of two."""
    wide = [k for k, (low, high) in enumerate(box) if low < high]
    small = teacher.hidden + student.hidden <= MOST_HIDDEN and (teacher.classes <= MOST_CLASSES or len(box) == 1)
    if len(wide) == 1 and small:
        return on_line(teacher, student, [low for low, _ in box], wide[0], box[wide[0]])
    found = at_points(teacher, student, sample(box, seed, 40 if small and len(box) < 50 else 8))
    if small:
        for _ in range(2):
            found = by_coordinates(found, box, wide)
    return found


def on_line(
    teacher: Network,
    student: Network,
    start: Point,
    coordinate: int,
    ends: tuple[Fraction, Fraction],
    tolerance: float = 1e-8,
) -> Truth:
    """The truth where one coordinate moves between its ends and the others stay at `start`."""
    direction = [Fraction(int(k == coordinate)) for k in range(len(start))]
    origin = [Fraction(0) if k == coordinate else value for k, value in enumerate(start)]
    own = [pieces(network.along(origin, direction), *ends) for network in (teacher, student)]
    found = extremes(refined(*own), tolerance)
    places = [[[*start[:coordinate], t, *start[coordinate + 1 :]] for t in pair] for pair in found.places]
    return Truth(teacher, student, places, found.met, found.upper)


def by_coordinates(found: Truth, box: Box, wide: list[int]) -> Truth:
    """Better places: from the best of all, the best along some of the coordinates."""
    label, sign = np.unravel_index(found.met.argmax(), found.met.shape)
    for coordinate in wide[:4]:
        start = [_dyadic(value, *ends) for value, ends in zip(found.places[label][sign], box, strict=True)]
        moved = on_line(found.teacher, found.student, start, coordinate, box[coordinate], 1e-5)
        better = moved.met > found.met
        places = [[(moved if better[i, s] else found).places[i][s] for s in range(2)] for i in range(len(better))]
        found = Truth(found.teacher, found.student, places, np.maximum(found.met, moved.met), found.upper)
    return found


def at_points(teacher: Network, student: Network, points: list[Point]) -> Truth:
    """The largest values met at some points."""
    rationals = Rationals.of(points)
    one, other = (float_confidences(network.logits(rationals)) for network in (teacher, student))
    values = np.stack((one - other, other - one), axis=-1)
    best = values.argmax(axis=0)
    places = [[points[best[i, s]] for s in range(2)] for i in range(teacher.classes)]
    return Truth(teacher, student, places, values.max(axis=0), np.full(best.shape, np.inf))


def float_confidences(logits: Rationals) -> Floats:
    """Confidences `(n, C)` in float64, from exact differences to the largest logit."""
    gaps = Rationals(logits.numerators - logits.numerators.max(axis=1)[:, None], logits.denominators).floats()
    exponentials = np.exp(gaps)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sample(box: Box, seed: int, count: int) -> list[Point]:
    """The middle, corners, a coarse grid where there are few inputs, and random points, all inside the box."""
    source = np.random.default_rng(seed)
    shares = [[Fraction(1, 2)] * len(box)]
    if len(box) <= 4:
        shares += [list(corner) for corner in product((Fraction(0), Fraction(1)), repeat=len(box))]
    if len(box) <= 2:
        shares += [list(point) for point in product([Fraction(k, 4) for k in range(5)], repeat=len(box))]
    draws = source.random((count, len(box)))
    draws[::2] = draws[::2].round()
    shares += [[Fraction(value) for value in row] for row in draws.tolist()]
    return [[low + (high - low) * share for share, (low, high) in zip(row, box, strict=True)] for row in shares]


def _dyadic(value: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """A number over a power of two near the value, inside the box."""
    return min(max(Fraction(float(value)), low), high)
