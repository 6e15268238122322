"""What may not change when a question is asked in another way.

The truth is the same, or larger: so no bound from above is below a value met by the other.

EMPLB of one question is never above FAITHUB of another with the same truth, or with a larger one; what is proved of one is not refuted of
the other. Equal numbers are asked for only where the same sums are made.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import verify
from tests.oracle import adapters
from tests.oracle.cases import Case, Weights
from tests.oracle.families import case

METHODS = ["interval", "crown-boxes", "crown", "alpha-crown", "joint", "complete"]
LIMITS = {"max_nodes": 40, "timeout": 1e4}
# Without those whose numbers leave float32 on the way, of which a search finds nothing.
FAMILIES = ["ordinary", "cancelling", "ties", "dead", "active", "saturated", "copies", "deep", "boxes", "steep"]

few = settings(max_examples=25, deadline=None, derandomize=True)
cases = st.builds(case, st.sampled_from(FAMILIES), st.integers(0, 10**6))
methods = st.sampled_from(METHODS)
searches = st.booleans()


def asked(one: Case, method: str, search: bool, **limits: float) -> verify.Faithfulness:
    images, eps = adapters.question(one)
    networks = adapters.network(one.teacher), adapters.network(one.student)
    return verify.faithfulness(
        *networks, images, eps, valid_range=one.valid_range, method=method, search=search, **{**LIMITS, **limits}
    )


def agreement(one: Case, search: bool) -> verify.Decisions:
    images, eps = adapters.question(one)
    networks = adapters.network(one.teacher), adapters.network(one.student)
    return verify.agreement(*networks, images, eps, valid_range=one.valid_range, search=search)


def consistent(one: verify.Faithfulness, other: verify.Faithfulness) -> None:
    """Two answers about the same truth."""
    below(one, other)
    below(other, one)


def below(smaller: verify.Faithfulness, larger: verify.Faithfulness) -> None:
    """The truth of the first is at most that of the second."""
    assert (smaller.emplb <= larger.faithub).all()


def not_contradicting(one: verify.Decisions, other: verify.Decisions) -> None:
    for pair in zip(one.status, other.status, strict=True):
        assert set(pair) != {"certified", "refuted"}


@pytest.mark.slow
@few
@given(one=cases, method=methods, search=searches)
def test_teacher_and_student_exchanged(one: Case, method: str, search: bool) -> None:
    exchanged = replace(one, teacher=one.student, student=one.teacher)
    there, back = asked(one, method, search), asked(exchanged, method, search)
    consistent(there, back)
    if method in ("interval", "crown-boxes", "crown"):
        assert torch.equal(there.faithub, back.faithub)


@pytest.mark.slow
@few
@given(one=cases, method=methods, search=searches, seed=st.integers(0, 1000))
def test_classes_in_another_order(one: Case, method: str, search: bool, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(one.teacher.biases[-1]))

    def ordered(network: Weights) -> Weights:
        weights, biases = network.weights, network.biases
        return Weights([*weights[:-1], weights[-1][order]], [*biases[:-1], biases[-1][order]])

    other = replace(one, teacher=ordered(one.teacher), student=ordered(one.student))
    consistent(asked(one, method, search), asked(other, method, search))
    not_contradicting(agreement(one, search), agreement(other, search))


@pytest.mark.slow
@few
@given(one=cases, method=methods, search=searches, seed=st.integers(0, 1000))
def test_hidden_neurons_in_another_order_and_scaled_by_powers_of_two(
    one: Case, method: str, search: bool, seed: int
) -> None:
    source = np.random.default_rng(seed)

    def rescaled(network: Weights) -> Weights:
        weights, biases = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
        for k in range(len(biases) - 1):
            order = source.permutation(len(biases[k]))
            factor = 2.0 ** source.integers(-6, 7, len(order))
            weights[k], biases[k] = weights[k][order] * factor[:, None], biases[k][order] * factor
            weights[k + 1] = weights[k + 1][:, order] / factor
        return Weights(weights, biases)

    other = replace(one, teacher=rescaled(one.teacher), student=rescaled(one.student))
    consistent(asked(one, method, search), asked(other, method, search))
    not_contradicting(agreement(one, search), agreement(other, search))
    for mine, theirs in ((one.teacher, other.teacher), (one.student, other.student)):
        boxes = [verify.logit_differences(adapters.network(n), adapters.region(one), "crown") for n in (mine, theirs)]
        assert (boxes[0][0] <= boxes[1][1]).all() and (boxes[1][0] <= boxes[0][1]).all()


@pytest.mark.slow
@few
@given(one=cases, method=methods, search=searches, seed=st.integers(0, 1000))
def test_one_number_added_to_all_logits(one: Case, method: str, search: bool, seed: int) -> None:
    source = np.random.default_rng(seed)

    def coarse(values: np.ndarray) -> np.ndarray:
        """Multiples of 1/64 below 16, so that sums of two are exact."""
        return np.clip(np.round(values * 64) / 64, -15, 15)

    def with_last(network: Weights, slope: np.ndarray, offset: float) -> Weights:
        weights, biases = network.weights, network.biases
        return Weights([*weights[:-1], coarse(weights[-1]) + slope], [*biases[:-1], coarse(biases[-1]) + offset])

    networks, moved = [], []
    for network in (one.teacher, one.student):
        slope, offset = coarse(source.standard_normal(network.weights[-1].shape[1])), float(source.integers(-8, 9))
        networks.append(with_last(network, np.zeros_like(slope), 0.0))
        moved.append(with_last(network, slope, offset))
    same, other = (replace(one, teacher=pair[0], student=pair[1]) for pair in (networks, moved))
    consistent(asked(same, method, search), asked(other, method, search))
    not_contradicting(agreement(same, search), agreement(other, search))


@pytest.mark.slow
@few
@given(one=cases, method=methods, search=searches, factor=st.sampled_from([1.0, 1.0000001, 1.5, 4.0]))
def test_a_larger_region(one: Case, method: str, search: bool, factor: float) -> None:
    larger = replace(one, eps=one.eps * factor)
    below(asked(one, method, search), asked(larger, method, search))
    for small, large in zip(agreement(one, search).status, agreement(larger, search).status, strict=True):
        assert (small, large) != ("refuted", "certified")


@pytest.mark.slow
@few
@given(one=cases, search=searches, gaps=st.tuples(*[st.sampled_from([0.0, 1e-4, 0.01, 0.3])] * 2))
def test_a_smaller_gap(one: Case, search: bool, gaps: tuple[float, float]) -> None:
    consistent(*(asked(one, "complete", search, gap=gap) for gap in gaps))


@pytest.mark.slow
@few
@given(one=cases, search=searches, deltas=st.tuples(*[st.sampled_from([0.0, 1e-6, 0.05, 0.2, 1.0])] * 2))
def test_what_is_proved_for_a_delta_is_not_refuted_for_a_larger_one(
    one: Case, search: bool, deltas: tuple[float, float]
) -> None:
    images, eps = adapters.question(one)
    networks = adapters.network(one.teacher), adapters.network(one.student)
    smaller, larger = (
        verify.imitation(*networks, images, eps, delta, valid_range=one.valid_range, search=search, **LIMITS)
        for delta in sorted(deltas)
    )
    for first, second in zip(smaller, larger, strict=True):
        assert (first, second) != ("proved", "refuted")


@few
@given(one=cases, method=methods, search=searches, copies=st.integers(1, 3))
def test_more_images_in_the_batch(one: Case, method: str, search: bool, copies: int) -> None:
    together = asked(replace(one, images=np.concatenate([one.images] * copies + [1 - one.images])), method, search)
    alone = asked(one, method, search)
    for k in range(len(together.emplb) - len(one.images)):
        own = k % len(one.images)
        assert together.emplb[k] <= alone.faithub[own]
        assert alone.emplb[own] <= together.faithub[k]


@few
@given(one=cases, method=methods, search=searches)
def test_the_same_question_twice(one: Case, method: str, search: bool) -> None:
    first, second = asked(one, method, search), asked(one, method, search)
    for attribute in ("emplb", "faithub", "witness", "nodes"):
        assert torch.equal(getattr(first, attribute), getattr(second, attribute))
    assert first.status == second.status


@few
@given(one=cases, method=methods, search=searches)
def test_a_copy_imitates_its_teacher(one: Case, method: str, search: bool) -> None:
    result = asked(replace(one, student=one.teacher), method, search)
    assert (result.emplb == 0).all()
    assert (result.faithub >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_an_image_of_another_shape_is_the_same_question(method: str) -> None:
    one = case("many", 3)
    images, eps = adapters.question(one)
    shapes = {784: (1, 28, 28), 200: (2, 10, 10), 257: (257, 1, 1)}
    networks = adapters.network(one.teacher), adapters.network(one.student)
    flat, shaped = (
        verify.faithfulness(*networks, given, eps, method=method, **LIMITS)
        for given in (images, images.reshape(-1, *shapes[images.shape[1]]))
    )
    assert torch.equal(flat.faithub, shaped.faithub) and torch.equal(flat.emplb, shaped.emplb)
    assert shaped.witness.shape[1:] == shapes[images.shape[1]]
