"""Softmax to 70 digits, from exact logits: every confidence is an interval that holds the true one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mpmath.ctx_iv import MPIntervalContext

from tests.oracle.exact import Network, Rationals

Interval = Any

# An own context: mpmath's shared one belongs to whoever else uses it.
CONTEXT = MPIntervalContext()
CONTEXT.dps = 70
# Beyond this, an exponential is only said to be between 0 and exp(-FAR), or between exp(FAR) and infinity.
FAR = 10**5


def number(value: Fraction | float) -> Interval:
    """A rational or a float as an interval."""
    exact = Fraction(value)
    return CONTEXT.mpf(exact.numerator) / CONTEXT.mpf(exact.denominator)


def exponential(value: Fraction) -> Interval:
    """`exp(value)` as an interval."""
    if value > FAR:
        return CONTEXT.mpf([CONTEXT.exp(CONTEXT.mpf(FAR)).a, CONTEXT.inf])
    if value < -FAR:
        return CONTEXT.mpf([0, CONTEXT.exp(CONTEXT.mpf(-FAR)).b])
    return CONTEXT.exp(number(value))


def confidence(logits: list[Fraction], label: int) -> Interval:
    """`1 / (1 + sum over j of exp(z_j - z_label))`."""
    total = CONTEXT.mpf(1)
    for j, logit in enumerate(logits):
        if j != label:
            total += exponential(logit - logits[label])
    return 1 / total


def confidences(logits: list[Fraction]) -> list[Interval]:
    """Of every class."""
    return [confidence(logits, label) for label in range(len(logits))]


def logits_at(network: Network, point: list[Fraction]) -> list[Fraction]:
    """The logits at one point."""
    found = network.logits(Rationals.of([point]))
    return [found.fraction(0, j) for j in range(network.classes)]


def difference(teacher: Network, student: Network, point: list[Fraction], label: int) -> Interval:
    """`p_t,label - p_s,label` at a point."""
    return confidence(logits_at(teacher, point), label) - confidence(logits_at(student, point), label)


def certainly_below(value: float, interval: Interval) -> bool:
    """Is the float below every number of the interval; a float that is not a number is below everything that is one."""
    return value != value or bool(CONTEXT.mpf(value).b < interval.a)
