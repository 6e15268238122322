"""Decisions of networks of one input on an interval, exactly, ties included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tests.oracle.exact import Integers, Network
from tests.oracle.pieces import Affine, pieces, refined


def winners(values: Integers) -> frozenset[int]:
    """The classes that share the largest value."""
    return frozenset(np.flatnonzero(values == values.max()).tolist())


def disagreement(teacher: Network, student: Network, low: Fraction, high: Fraction) -> Fraction | None:
    """A place where some way of breaking ties makes the two decide differently, or None where there is none in `[low, high]`."""
    for one, other in parts(teacher, student, low, high):
        for t in places(one):
            first, second = winners(one.at(t)), winners(other.at(t))
            if first != second or len(first) > 1:
                return t
    return None


def other_decision(network: Network, label: int, low: Fraction, high: Fraction) -> Fraction | None:
    """A place where the network does not decide the label whatever way ties are broken, or None."""
    for piece, _ in parts(network, network, low, high):
        for t in places(piece):
            if winners(piece.at(t)) != {label}:
                return t
    return None


def parts(teacher: Network, student: Network, low: Fraction, high: Fraction) -> list[tuple[Affine, Affine]]:
    """The pieces on which no logit changes its rank; a single point is one piece."""
    if low == high:
        return [(_point(teacher, low), _point(student, low))]
    return refined(pieces(teacher, low, high), pieces(student, low, high))


def places(piece: Affine) -> tuple[Fraction, ...]:
    """Both ends and the middle: together they show every decision that a piece takes."""
    return piece.low, (piece.low + piece.high) / 2, piece.high


def _point(network: Network, t: Fraction) -> Affine:
    """The network at a point, as a piece without a width: affine to its right."""
    piece = pieces(network, t, t + 1)[0]
    return piece.part(t, t)
