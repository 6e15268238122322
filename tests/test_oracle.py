"""The oracle itself, against slower and simpler ways to the same numbers, and against closed forms."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from mpmath import mp

from tests.oracle.cases import Weights, random_network
from tests.oracle.confidences import certainly_below, confidence, confidences, difference, logits_at, number
from tests.oracle.decisions import disagreement, other_decision
from tests.oracle.exact import Network, Rationals, integers
from tests.oracle.families import FAMILIES, case
from tests.oracle.maximum import extremes
from tests.oracle.pieces import pieces, refined
from tests.oracle.truth import truth

SMALL = [family for family in FAMILIES if family not in ("wide", "stacked", "many")]


def plain_logits(network: Weights, point: list[Fraction]) -> list[Fraction]:
    """The definition, one fraction after another."""
    values = point
    if network.scaling is not None:
        values = [x * Fraction(s) + Fraction(t) for x, s, t in zip(point, *network.scaling, strict=True)]
    for k, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = values if k == 0 else [max(value, Fraction(0)) for value in values]
        values = [
            sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
            for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
        ]
    return values


@pytest.mark.parametrize("family", SMALL)
def test_logits_are_those_of_the_definition(family: str) -> None:
    for seed in range(3):
        one = case(family, seed)
        points = [[Fraction(k + 1, 7 + j) for j in range(one.images.shape[1])] for k in range(3)]
        for network in (one.teacher, one.student):
            found = network.exact().logits(Rationals.of(points))
            for row, point in enumerate(points):
                assert [found.fraction(row, j) for j in range(network.exact().classes)] == plain_logits(network, point)


def test_numbers_are_read_exactly() -> None:
    values = [5e-324, 1e-40, -3.4e38, 0.0, 1.0, float(np.float32(1e-45)), 0.1]
    numbers, exponent = integers(np.array(values))
    assert [Fraction(int(n)) / Fraction(2) ** exponent for n in numbers] == [Fraction(value) for value in values]


@pytest.mark.parametrize("seed", range(6))
def test_a_line_through_a_network_is_a_network(seed: int) -> None:
    weights = random_network(np.random.default_rng(seed), [3, 5, 4, 3])
    start, direction = [Fraction(1, 4), Fraction(-3, 8), Fraction(0)], [Fraction(1), Fraction(1, 2), Fraction(-5)]
    along = weights.exact().along(start, direction)
    for t in (Fraction(0), Fraction(1, 3), Fraction(-7, 5)):
        point = [s + t * d for s, d in zip(start, direction, strict=True)]
        assert logits_at(along, [t]) == plain_logits(weights, point)


@pytest.mark.parametrize("family", SMALL)
def test_pieces_are_the_network_from_end_to_end(family: str) -> None:
    for seed in range(20):
        one = case(family, seed)
        if one.images.shape[1] != 1:
            continue
        low, high = Fraction(-1, 3), Fraction(5, 4)
        teacher, student = (pieces(network.exact(), low, high) for network in (one.teacher, one.student))
        parts = refined(teacher, student)
        for found, network in (
            (teacher, one.teacher),
            ([t for t, _ in parts], one.teacher),
            ([s for _, s in parts], one.student),
        ):
            assert (found[0].low, found[-1].high) == (low, high)
            assert all(left.high == right.low for left, right in pairwise(found))
            for piece in found[:12]:
                for t in (piece.low, (piece.low + 2 * piece.high) / 3, piece.high):
                    assert piece.values(t) == plain_logits(network, [t])


@pytest.mark.parametrize("family", SMALL)
def test_no_place_passes_the_upper_bound_and_the_largest_value_is_met(family: str) -> None:
    for seed in range(15):
        one = case(family, seed)
        if one.images.shape[1] != 1 or len(one.teacher.biases[-1]) > 12:
            continue
        low, high = Fraction(0), Fraction(1)
        teacher, student = one.teacher.exact(), one.student.exact()
        found = extremes(refined(pieces(teacher, low, high), pieces(student, low, high)))
        places = [Fraction(k, 37) for k in range(38)] + [place for pair in found.places for place in pair]
        label = int(found.met.max(axis=1).argmax())
        for place in places[:60]:
            there = difference(teacher, student, [place], label)
            assert not there.a > found.upper[label, 0]
            assert not -there.b > found.upper[label, 1]
        sign = int(found.met[label].argmax())
        reached = difference(teacher, student, [found.places[label][sign]], label)
        assert abs(float((-reached if sign else reached).a) - found.met[label, sign]) < 1e-11


@pytest.mark.parametrize("apart", [0.25, 3.0, 40.0])
def test_two_shifted_sigmoids_differ_most_in_the_middle(apart: float) -> None:
    teacher, student = (Network.of([[[0.0], [64.0]]], [[0.0, -32.0 + shift]]) for shift in (apart, 0.0))
    found = extremes(refined(pieces(teacher, Fraction(0), Fraction(1)), pieces(student, Fraction(0), Fraction(1))))
    most = float(mp.tanh(mp.mpf(apart) / 4))
    assert found.met[1, 0] == pytest.approx(most, abs=1e-8)
    assert most <= found.upper[1, 0] <= most + 2e-8
    assert found.met[1, 1] == pytest.approx(0, abs=1e-9)


def test_confidences_hold_the_softmax_at_any_size() -> None:
    with mp.workdps(120):
        for logits in ([0, 1, -2], [Fraction(1, 3), -700, 699], [0, 40000, -40000], [10**9, 0, 10**9]):
            exact = [mp.mpf(value.numerator) / value.denominator for value in map(Fraction, logits)]
            total = sum(mp.exp(value - max(exact)) for value in exact)
            found = confidences([Fraction(value) for value in logits])
            for own, value in zip(found, exact, strict=True):
                assert own.a <= mp.exp(value - max(exact)) / total <= own.b
                assert own.b - own.a < mp.mpf(10) ** -60
    assert confidence([Fraction(0), Fraction(10**30)], 0).a >= 0
    assert certainly_below(0.1, number(Fraction(1, 9))) and not certainly_below(0.1, number(0.1))
    assert certainly_below(float("nan"), number(0)) and certainly_below(float("-inf"), number(0))


def test_decisions_are_exact_up_to_the_tie() -> None:
    crossing = Network.of([[[3.0], [0.0]]], [[-1.0, 0.0]])
    always = Network.of([[[0.0], [0.0]]], [[1.0, 0.0]])
    third, one = Fraction(1, 3), Fraction(1)
    assert disagreement(crossing, crossing, Fraction(0), one) == third
    assert other_decision(crossing, 0, third + Fraction(1, 10**40), one) is None
    assert other_decision(crossing, 0, third, one) == third
    assert disagreement(crossing, always, third + Fraction(1, 10**40), one) is None
    assert disagreement(crossing, always, third - Fraction(1, 10**40), one) is not None
    assert disagreement(crossing, always, third, third) == third
    assert disagreement(always, always, third, third) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_cases_are_float32_numbers_and_the_truth_tells_a_bound_below_it(family: str) -> None:
    for seed in range(2):
        one, again = case(family, seed), case(family, seed)
        for mine, other in zip((one.teacher, one.student), (again.teacher, again.student), strict=True):
            for values, same in zip((*mine.weights, *mine.biases), (*other.weights, *other.biases), strict=True):
                assert np.array_equal(values, same) and np.array_equal(values, values.astype(np.float32))
        own = truth(one.teacher.exact(), one.student.exact(), one.box(0), seed)
        most = float(own.met.max())
        assert own.most >= most - 1e-12
        assert own.exceeds(np.array(most + 1e-10)) is None
        assert most < 1e-9 or own.exceeds(np.array(most - 1e-10)) is not None
        assert own.exceeds(np.array(float("nan"))) is not None
