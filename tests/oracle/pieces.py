"""Two networks of one input on an interval: the pieces on which both are affine and none of their logits changes its rank, exactly."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from tests.oracle.exact import Integers, Network, product, shifted


@dataclass(frozen=True)
class Affine:
    """`(slope t + offset) / denominator` for every number of a layer, in integers; low, high: where it holds."""

    low: Fraction
    high: Fraction
    slope: Integers
    offset: Integers
    denominator: int

    def at(self, t: Fraction) -> Integers:
        """Integers in the proportions, signs included, of the values at t."""
        return self.slope * t.numerator + self.offset * t.denominator

    def values(self, t: Fraction) -> list[Fraction]:
        """The values at t."""
        return [Fraction(value, self.denominator * t.denominator) for value in self.at(t)]

    def roots(self) -> list[Fraction]:
        """Where one of the numbers changes its sign, inside."""
        before, after = self.at(self.low), self.at(self.high)
        crossing = np.flatnonzero(((before > 0) & (after < 0)) | ((before < 0) & (after > 0)))
        return sorted({Fraction(-self.offset[k], self.slope[k]) for k in crossing})

    def part(self, low: Fraction, high: Fraction) -> Affine:
        """The same on a part of its interval."""
        return Affine(low, high, self.slope, self.offset, self.denominator)

    def cut(self, places: Sequence[Fraction]) -> list[Affine]:
        """Cut at those of the places, sorted and different, that lie inside."""
        inside = places[bisect_right(places, self.low) : bisect_left(places, self.high)]
        ends = [self.low, *inside, self.high]
        return [self.part(low, high) for low, high in pairwise(ends)]


def pieces(network: Network, low: Fraction, high: Fraction) -> list[Affine]:
    """The logits of a network of one input, piece by piece from left to right; `low < high`."""
    one, zero = np.array([1], dtype=object), np.array([0], dtype=object)
    found = [Affine(low, high, one, zero, 1)]
    for k, layer in enumerate(network.layers):
        found = [_after(part, layer) for piece in found for part in (_rectified(piece) if k else [piece])]
    return found


def refined(teacher: list[Affine], student: list[Affine]) -> list[tuple[Affine, Affine]]:
    """Pairs of pieces over the same intervals, cut wherever two logits of one network cross."""
    every = (*teacher, *student)
    places = sorted({piece.low for piece in every} | {place for piece in every for place in crossings(piece)})
    both = [[part for piece in own for part in piece.cut(places)] for own in (teacher, student)]
    return list(zip(*both, strict=True))


def crossings(piece: Affine) -> list[Fraction]:
    """Where two of the numbers change their order, inside."""
    before, after = piece.at(piece.low), piece.at(piece.high)
    rise, fall = before[:, None] - before[None, :], after[:, None] - after[None, :]
    one, other = np.nonzero((rise > 0) & (fall < 0))
    return [
        Fraction(piece.offset[j] - piece.offset[i], piece.slope[i] - piece.slope[j])
        for i, j in zip(one, other, strict=True)
    ]


def _rectified(piece: Affine) -> list[Affine]:
    """The ReLUs of an affine piece, cut where they change."""
    parts = []
    for part in piece.cut(piece.roots()):
        active = (part.at(part.low) > 0) | (part.at(part.high) > 0)
        parts.append(Affine(part.low, part.high, part.slope * active, part.offset * active, part.denominator))
    return parts


def _after(piece: Affine, layer: tuple[Integers, Integers, int]) -> Affine:
    weight, bias, exponent = layer
    numbers = product(np.stack((piece.slope, piece.offset)), weight.T)
    numbers[1] += bias * piece.denominator
    numbers, denominator = shifted(numbers, np.array(piece.denominator, dtype=object), exponent)
    return Affine(piece.low, piece.high, numbers[0], numbers[1], int(denominator))
