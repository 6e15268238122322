"""The largest differences of confidences of two networks of one input on an interval, from below and from above.

On a piece from `pieces.refined` every difference of two logits is affine and keeps its sign. Taken from the nearer end of the piece it
is known in float64 with a small *relative* error, however steep it is, so that a sigmoid of it is off by less than MARGIN: one piece is
two halves, each with the distance from its own end as variable. Intervals of that variable are halved while a bound on them, by
monotonicity or by the derivative, leaves room above the largest value met.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from tests.oracle.exact import Integers, nearest
from tests.oracle.pieces import Affine

Floats = NDArray[np.float64]

# Far above what float64 loses in a confidence of fifty classes whose differences of logits have a relative error of 8 units.
MARGIN = 1e-12
# Halvings after which the bound is taken as it is, and intervals that are kept at most.
ROUNDS, MOST = 80, 3000


@dataclass(frozen=True)
class Extremes:
    """Of every query (class, sign): a place `(C, 2)` where its largest value was met, that value in float64, and a certain upper bound."""

    places: list[list[Fraction]]
    met: Floats
    upper: Floats


@dataclass(frozen=True)
class Halves:
    """Halves of pieces. origin, toward: the end each is measured from, and whether to its right (1) or left (-1); length: in float64.

    base, slope `(3, n, C, C)`: the teacher's `z_j - z_i` at the origin and what a unit of distance adds, the student's, and the
    student's less the teacher's.
    """

    origin: list[Fraction]
    toward: list[int]
    length: Floats
    base: Floats
    slope: Floats

    @classmethod
    def of(cls, parts: list[tuple[Affine, Affine]]) -> Halves:
        """Both halves of every piece."""
        ends = [(k, side) for k in range(len(parts)) for side in (1, -1)]
        origin = [parts[k][0].low if side > 0 else parts[k][0].high for k, side in ends]
        length = [np.nextafter(nearest_of((parts[k][0].high - parts[k][0].low) / 2), np.inf) for k, _ in ends]
        base, slope = [], []
        for (k, side), t in zip(ends, origin, strict=True):
            base.append(_three(*((own.at(t), own.denominator * t.denominator) for own in parts[k])))
            slope.append(_three(*((side * own.slope, own.denominator) for own in parts[k])))
        sides = [side for _, side in ends]
        return cls(origin, sides, np.array(length), np.array(base).swapaxes(0, 1), np.array(slope).swapaxes(0, 1))

    def confidences(self, which: NDArray[np.int64], low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Bounds `(2, m, C)` of every confidence, the teacher's and the student's, on the distances `[low, high]` of the halves `which`."""
        ends = self.ends(slice(0, 2), which, low, high)
        with np.errstate(over="ignore"):
            totals = [np.exp(ends.max(axis=0)).sum(axis=-1), np.exp(ends.min(axis=0)).sum(axis=-1)]
        return 1 / totals[0], 1 / totals[1]

    def lead(self, which: NDArray[np.int64], low: Floats, high: Floats) -> Floats:
        """By how much `(m, C, 2)` the student's, or the teacher's, LSE of `z_j - z_i` can be above the other's there."""
        apart = self.ends(2, which, low, high)
        # Unlike the others, these may change their sign, and lose more of their digits.
        lost = 1e-15 * np.abs(apart).max(axis=(0, -1))[..., None]
        return lost + np.maximum(np.stack((apart.max(axis=(0, -1)), -apart.min(axis=(0, -1))), axis=-1), 0)

    def ends(self, kind: int | slice, which: NDArray[np.int64], low: Floats, high: Floats) -> Floats:
        """`(2, ..., m, C, C)`: the differences at both ends of the distances."""
        base, slope = self.base[kind][..., which, :, :], self.slope[kind][..., which, :, :]
        with np.errstate(invalid="ignore", over="ignore"):
            # What is beyond all floats at its origin stays there on its half of the piece, and nothing moves without a distance.
            moved = [np.where(d[:, None, None] == 0, 0.0, slope * d[:, None, None]) for d in (low, high)]
            return np.stack([np.where(np.isinf(base), base, base + own) for own in moved])


def extremes(parts: list[tuple[Affine, Affine]], tolerance: float = 1e-8) -> Extremes:
    """The largest `p_t,i - p_s,i` and `p_s,i - p_t,i` of every class i over all pieces, within the tolerance where the work allows."""
    halves = Halves.of(parts)
    classes = halves.base.shape[-1]
    which = np.arange(len(halves.length))
    low, high = np.zeros(len(which)), halves.length.copy()
    met, upper = np.full((classes, 2), -1.0), np.full((classes, 2), -1.0)
    best = np.zeros((classes, 2), dtype=np.int64)
    visited: list[tuple[int, float]] = []
    for step in range(ROUNDS):
        points = np.concatenate([low, high, (low + high) / 2]) if step == 0 else (low + high) / 2
        owner = np.concatenate([which] * 3) if step == 0 else which
        smallest, _ = halves.confidences(owner, points, points)
        values = _signed(smallest[0] - smallest[1])
        place = values.argmax(axis=0)
        found = np.take_along_axis(values, place[None], axis=0)[0]
        better = found > met
        start = len(visited)
        visited += zip(owner.tolist(), points.tolist(), strict=True)
        met, best = np.where(better, found, met), np.where(better, start + place, best)
        bounds = _bounds(halves, which, low, high)
        open_ = (bounds > met + tolerance).any(axis=(1, 2))
        upper = np.maximum(upper, np.where(open_[:, None, None], -1.0, bounds).max(axis=0, initial=-1.0))
        which, low, high, bounds = which[open_], low[open_], high[open_], bounds[open_]
        if len(which) == 0 or step + 1 == ROUNDS or len(which) > MOST:
            upper = np.maximum(upper, bounds.max(axis=0, initial=-1.0))
            break
        middle = (low + high) / 2
        which, low, high = np.tile(which, 2), np.concatenate((low, middle)), np.concatenate((middle, high))
    places = [[_place(halves, *visited[best[i, sign]]) for sign in range(2)] for i in range(classes)]
    return Extremes(places, met, np.minimum(np.maximum(upper, met) + MARGIN, 1.0))


def nearest_of(value: Fraction) -> float:
    """The float nearest to a fraction."""
    return nearest(value.numerator, value.denominator)


def _bounds(halves: Halves, which: NDArray[np.int64], low: Floats, high: Floats) -> Floats:
    """Upper bounds `(m, C, 2)` of every query on the intervals, the smallest of three.

    By the confidences' own ranges; by the value in the middle and the derivative; and by how far the two networks are apart, since a
    sigmoid with values in `[a, b]` rises by at most the largest `p (1 - p)` on `[a, b]`.
    """
    smallest, largest = halves.confidences(which, low, high)
    by_range = np.stack((largest[0] - smallest[1], largest[1] - smallest[0]), axis=-1)
    middle = (low + high) / 2
    at, _ = halves.confidences(which, middle, middle)
    with np.errstate(invalid="ignore", over="ignore"):
        slope = halves.slope[:2, which]
        rise, fall = np.maximum(slope, 0), np.minimum(slope, 0)
        # p_i' = -p_i sum over j of p_j (z_j - z_i)'
        most = (rise * largest[..., None, :] + fall * smallest[..., None, :]).sum(axis=-1)
        least = (rise * smallest[..., None, :] + fall * largest[..., None, :]).sum(axis=-1)
        steepest = np.maximum(-least * largest, -least * smallest)
        flattest = np.minimum(-most * largest, -most * smallest)
        change = np.maximum(np.abs(steepest[0] - flattest[1]), np.abs(flattest[0] - steepest[1]))
        by_slope = _signed(at[0] - at[1]) + (change * ((high - low) / 2)[:, None])[..., None]
        middling = np.clip(0.5, smallest.min(axis=0), largest.max(axis=0))
        apart = (middling * (1 - middling))[..., None] * halves.lead(which, low, high)
    for bound in (by_slope, apart):
        by_range = np.minimum(by_range, np.where(np.isnan(bound), 1.0, bound))
    return by_range


def _signed(differences: Floats) -> Floats:
    return np.stack((differences, -differences), axis=-1)


def _three(teacher: tuple[Integers, int], student: tuple[Integers, int]) -> list[Floats]:
    """`[i, j]`: the floats nearest to `v_j - v_i` of each network's numbers over its denominator, and of the student's less the other's."""
    shared = lcm(teacher[1], student[1])
    one, other = (values * (shared // denominator) for values, denominator in (teacher, student))
    return [_differences(values, shared) for values in (one, other, other - one)]


def _differences(values: Integers, denominator: int) -> Floats:
    table = values[None, :] - values[:, None]
    return np.array([[nearest(value, denominator) for value in row] for row in table])


def _place(halves: Halves, which: int, distance: float) -> Fraction:
    origin, toward = halves.origin[which], halves.toward[which]
    return origin + toward * Fraction(distance)
