"""Numbers and options at the edge of what makes sense: the right answer, or a refusal in one sentence, but no crash and no silence."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import verify
from tests.oracle import adapters
from tests.oracle.cases import Case, Weights
from tests.oracle.families import case
from tests.oracle.truth import truth
from tests.verify.test_faults import holds, or_refused, weights

METHODS = ["interval", "crown-boxes", "crown", "alpha-crown", "joint", "complete"]
IMAGE = np.float32([[0.5]])


def linear(*slopes: float, offset: float = 0.0) -> Weights:
    return weights(([[slope] for slope in slopes], [offset, *[0.0] * (len(slopes) - 1)]))


def growing(big: float, sign: float) -> Weights:
    """Logits that are beyond float32, while all weights are within it."""
    return weights(
        ([[1.0], [-1.0]], [0.0, 0.5]),
        ([[big, -big], [-big, big]], [0.0, 0.0]),
        ([[sign * big, -sign * big], [0, 0]], [0, 0.1]),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("big", [1e20, 1e30, 3e38])
def test_a_search_survives_confidences_that_are_no_numbers(big: float, method: str) -> None:
    one = Case(growing(big, 1.0), growing(big, -1.0), IMAGE, 0.4)
    with or_refused():
        holds(one, method, search=True, max_nodes=20, timeout=1.0)


@pytest.mark.parametrize("eps", [0.0, 1e-12, 1e-9])
def test_an_image_between_two_float32_numbers(eps: float) -> None:
    teacher, student = adapters.network(linear(0.0, 1.0)), adapters.network(linear(0.0, 2.0))
    with or_refused():
        image = torch.tensor([[0.1]], dtype=torch.float64)
        result = verify.faithfulness(teacher, student, image, eps, method="crown")
        assert abs(Fraction(result.witness.item()) - Fraction(0.1)) <= Fraction(eps)


def test_a_witness_lies_in_the_ball_where_that_ends_just_before_the_edge() -> None:
    teacher = weights(([[1.0], [1.0]], [0.0, -0.99999988]), ([[0.0, 0.0], [10.0, 1e8]], [0.0, -20.0]))
    one = Case(teacher, weights(([[0.0], [0.0]], [0.0, -40.0])), IMAGE, 0.5 - 2.0**-54)
    found = holds(one, "crown")
    low, high = one.box(0)[0]
    assert high < 1
    assert low <= Fraction(found.witness.item()) <= high


def needle(small: float) -> Weights:
    """The function does not depend on `small`: what the first layer divides by, the second multiplies with."""
    first = ([[small], [-small]], [-0.45 * small, 0.55 * small])
    return weights(first, ([[1 / small, -1 / small], [0.0, 0.0]], [0.0, 0.0]))


@pytest.mark.parametrize("method", ["milp", "minlp"])
@pytest.mark.parametrize("small", [1e-6, 1e-10, 1e-14, 1e-20, 1e-30])
def test_a_solver_is_right_whatever_the_scale_of_a_layer(small: float, method: str) -> None:
    one = Case(needle(small), weights(([[0.0], [0.0]], [0.0, 0.0])), IMAGE, 0.4)
    most = truth(one.teacher.exact(), one.student.exact(), one.box(0)).met.max()
    images, eps = adapters.question(one)
    with or_refused():
        networks = adapters.network(one.teacher), adapters.network(one.student)
        result = verify.faithfulness(*networks, images, eps, method=method, search=False, timeout=2.0)
        assert result.faithub.item() + adapters.SOLVER_TOLERANCE >= most


def test_a_mixed_integer_program_of_subnormal_weights_is_right() -> None:
    one = case("subnormal", 30)
    most = truth(one.teacher.exact(), one.student.exact(), one.box(0)).met.max()
    with or_refused():
        found = adapters.queries(one, "milp", {"timeout": 2.0})
        assert found.max() + adapters.SOLVER_TOLERANCE >= most


NAN = float("nan")


@pytest.mark.parametrize(
    "options", [{"gap": NAN}, {"timeout": NAN}, {"timeout": -1.0}, {"delta": NAN}, {"max_nodes": -3}]
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    networks = adapters.network(linear(0.0, 1.0)), adapters.network(linear(0.0, 2.0))
    with pytest.raises(verify.Unsupported):
        verify.faithfulness(*networks, torch.from_numpy(IMAGE), 0.1, method="crown", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("eps", ["a", None, [0.1, 0.2]])
def test_a_radius_that_is_none_is_refused(eps: object) -> None:
    networks = adapters.network(linear(0.0, 1.0)), adapters.network(linear(0.0, 2.0))
    with pytest.raises(verify.Unsupported):
        verify.faithfulness(*networks, torch.from_numpy(IMAGE), eps, method="crown")  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [[2], [-1], [0, 1], [0.5]])
def test_labels_that_are_no_classes_are_refused(labels: list[float]) -> None:
    with pytest.raises(verify.Unsupported):
        verify.robustness(adapters.network(linear(0.0, 1.0)), torch.from_numpy(IMAGE), torch.tensor(labels), 0.1)


def test_one_class_is_refused() -> None:
    one = adapters.network(linear(1.0))
    for ask in (
        lambda: verify.faithfulness(one, one, torch.from_numpy(IMAGE), 0.1),
        lambda: verify.agreement(one, one, torch.from_numpy(IMAGE), 0.1),
        lambda: verify.robustness(one, torch.from_numpy(IMAGE), torch.tensor([0]), 0.1),
    ):
        with pytest.raises(verify.Unsupported):
            ask()


@pytest.mark.parametrize("value", [NAN, float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_prove_nothing(value: float) -> None:
    broken = verify.ReluNetwork(
        (torch.tensor([[value], [1.0]], dtype=torch.float64),), (torch.zeros(2, dtype=torch.float64),),
        (torch.zeros(2, dtype=torch.float64),),
    )  # fmt: skip
    whole, image = adapters.network(linear(0.0, 1.0)), torch.from_numpy(IMAGE)
    with or_refused():
        assert verify.agreement(broken, whole, image, 0.1).status != ("certified",)
    with or_refused():
        assert verify.robustness(broken, image, torch.tensor([1]), 0.1).status != ("certified",)
    for method in METHODS:
        with or_refused():
            assert verify.faithfulness(broken, whole, image, 0.1, method=method, max_nodes=5).faithub.item() == 1


@pytest.mark.parametrize("eps", [1e300, 1.7e308])
@pytest.mark.parametrize("search", [True, False])
def test_a_radius_beyond_all_numbers_certifies_nothing(eps: float, search: bool) -> None:
    teacher, student = adapters.network(linear(0.0, 1.0, offset=0.1)), adapters.network(linear(0.0, -1.0, offset=0.1))
    image = torch.zeros((1, 1))
    with or_refused():
        found = verify.agreement(teacher, student, image, eps, valid_range=None, search=search)
        assert found.status != ("certified",)
    with or_refused():
        bound = verify.faithfulness(teacher, student, image, eps, valid_range=None, search=search, max_nodes=20)
        assert bound.faithub.item() >= 0.99


def test_autocast_changes_no_proof() -> None:
    one = case("ordinary", 3)
    images, eps = adapters.question(one)
    networks = adapters.network(one.teacher), adapters.network(one.student)
    plain = verify.agreement(*networks, images, eps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = verify.agreement(*networks, images, eps)
        bound = verify.faithfulness(*networks, images, eps, max_nodes=40)
    for pair in zip(plain.status, found.status, strict=True):
        assert set(pair) != {"certified", "refuted"}
    own = [truth(one.teacher.exact(), one.student.exact(), one.box(k)) for k in range(len(images))]
    assert all(t.exceeds(np.array(float(bound.faithub[k]))) is None for k, t in enumerate(own))
