"""Inputs on which bounds have been wrong, and their neighbours: each asks for the right value, or for a refusal in one sentence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import verify
from tests.oracle import adapters
from tests.oracle.cases import Case, Weights, single
from tests.oracle.confidences import logits_at
from tests.oracle.truth import truth

ROOT = Path(__file__).parent.parent.parent
OUTWARD = ["interval", "crown-boxes", "crown", "alpha-crown", "joint", "complete"]


def weights(*layers: tuple[object, object]) -> Weights:
    """A network of float32 numbers from nested lists, a matrix and a vector a layer."""
    return Weights([single(weight) for weight, _ in layers], [single(bias) for _, bias in layers])


def holds(one: Case, method: str, **how: object) -> verify.Faithfulness:
    """The answer, whose FAITHUB is not below the truth, and is `closed` only where the gap was reached."""
    images, eps = adapters.question(one)
    networks = adapters.network(one.teacher), adapters.network(one.student)
    result = verify.faithfulness(*networks, images, eps, valid_range=one.valid_range, method=method, **how)  # type: ignore[arg-type]
    for k in range(len(images)):
        own = truth(one.teacher.exact(), one.student.exact(), one.box(k))
        assert own.exceeds(np.array(float(result.faithub[k]))) is None, float(result.faithub[k])
        assert 0 <= result.emplb[k] <= own.most
        gap = float(how.get("gap", 0.01))  # type: ignore[arg-type]
        assert result.status[k] != "closed" or result.faithub[k] - result.emplb[k] <= gap
    return result


@contextmanager
def or_refused() -> Iterator[None]:
    """A sentence in place of an answer is an answer, too."""
    with suppress(verify.Unsupported):
        yield


def steep_pair(slope: float, bias: float, shift: float) -> tuple[Weights, Weights]:
    """One input, two hidden neurons, two classes; the student's steep logit is `shift` higher."""
    hidden = ([[1.0], [-1.0]], [0.0, 0.5])
    teacher, student = (weights(hidden, ([[0.0, 0.0], [slope, -slope]], [0.0, own])) for own in (bias, bias + shift))
    return teacher, student


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize(
    ("slope", "bias"), [(556.2365112304688, -194.61438), (900.0, -400.0), (5000.0, -2000.0), (200.0, -70.0)]
)
def test_vertices_far_below_the_top_count(slope: float, bias: float, search: bool) -> None:
    one = Case(*steep_pair(slope, bias, 0.3), np.float32([[0.4]]), 0.45)
    for method in ("joint", "complete"):
        result = holds(one, method, search=search, max_nodes=400)
        most = truth(one.teacher.exact(), one.student.exact(), one.box(0)).met.max()
        assert result.faithub[0] >= most > 0.07


def test_an_imitation_that_is_none_is_not_proved() -> None:
    teacher, student = (adapters.module(network) for network in steep_pair(556.2365112304688, -194.61438, 0.3))
    for delta in (0.02, 0.05, 0.074):
        assert verify.imitation(teacher, student, torch.tensor([[0.4]]), 0.45, delta) != ("proved",)


@pytest.mark.parametrize("classes", [2, 3, 6, 10, 11, 14])
@pytest.mark.parametrize("width", [100.0, 800.0, 5000.0, 1e5])
def test_the_head_holds_at_every_vertex_of_a_wide_box(classes: int, width: float) -> None:
    source = np.random.default_rng(classes)
    n, label = 40, 0
    high = source.standard_normal((n, 2, classes))
    low = high - width * source.random((n, 2, classes))
    low[..., label] = high[..., label] = 0
    low, high = (np.float32(side).astype(np.float64) for side in (low, high))
    rows = adapters.head_rows(
        *(torch.from_numpy(t) for t in (np.full(n, label), np.zeros(n, dtype=np.int64), low, high))
    )
    free = torch.from_numpy(
        np.abs(source.standard_normal((n, 2 + 3 * classes))) * 10.0 ** source.uniform(-3, 1, (n, 1))
    )
    found = adapters.head(rows, free)
    for _ in range(30):
        d = np.where(source.random(low.shape) < 0.5, low, high)
        with np.errstate(over="ignore"):
            confidence = 1 / np.exp(d).sum(axis=2)
        bound = found.value + found.error + (found.up * d[:, 0]).sum(axis=1) + (found.down * d[:, 1]).sum(axis=1)
        assert not (bound < confidence[:, 0] - confidence[:, 1] - 1e-9).any()


def overflowing(sign: float, depth: int, big: float) -> Weights:
    """Dead where pixels are, and beyond float64 elsewhere: the decision is that of the last layer's sign."""
    layers = [([[1.0]], [-2.0]), *[([[big]], [0.0])] * depth, ([[sign], [-sign]], [0.5, 0.0])]
    return weights(*layers)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "big"), [(9, 3e38), (8, 3e38), (20, 1e20), (3, 3e38), (25, 1e13)])
@pytest.mark.parametrize("search", [True, False])
def test_what_is_no_number_proves_nothing(depth: int, big: float, search: bool) -> None:
    teacher, student = (overflowing(sign, depth, big) for sign in (1.0, -1.0))
    one = Case(teacher, student, np.float32([[3.0]]), 1.5, None)
    networks = adapters.network(teacher), adapters.network(student)
    x = torch.from_numpy(one.images)
    with or_refused():
        assert verify.agreement(*networks, x, 1.5, valid_range=None, search=search).status != ("certified",)
    with or_refused():
        assert verify.robustness(networks[1], x, torch.tensor([0]), 1.5, valid_range=None, search=search).status != (
            "certified",
        )
    for method in ("interval", "complete"):
        with or_refused():
            assert holds(one, method, search=search, timeout=2.0, max_nodes=40).faithub[0] > 0.6
    with or_refused():
        how = {"valid_range": None, "search": search, "timeout": 2.0, "max_nodes": 40}
        assert verify.imitation(*networks, x, 1.5, 0.5, **how) != ("proved",)


def test_a_module_that_stands_in_two_places_counts_twice() -> None:
    first, block, last = nn.Linear(1, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[-60.0], [0.0]]))
        first.bias.copy_(torch.tensor([6.0, 0.0]))
        block[0].weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        block[0].bias.copy_(torch.tensor([0.0, -5.0]))
        last.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
        last.bias.copy_(torch.tensor([0.0, 1.5]))
    twice = nn.Sequential(first, nn.ReLU(), block, block, last)
    x = torch.tensor([[0.0]])
    assert twice(x).argmax() == 0
    with or_refused():
        assert verify.robustness(twice, x, torch.tensor([1]), 1e-3).status == ("refuted",)
    with or_refused():
        once = nn.Sequential(first, nn.ReLU(), block, last)
        expected = (twice(x).softmax(1) - once(x).softmax(1)).abs().max().item()
        assert verify.faithfulness(twice, once, x, 0.0).faithub.item() >= expected - 1e-6


def test_one_relu_in_several_places_is_read() -> None:
    relu, layers = nn.ReLU(), [nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 3)]
    shared = nn.Sequential(layers[0], relu, layers[1], relu, layers[2])
    apart = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    x = torch.full((2, 3), 0.5)
    one, other = (verify.faithfulness(network, apart, x, 0.1, method="crown") for network in (shared, apart))
    assert torch.equal(one.faithub, other.faithub)


def test_one_linear_layer_in_two_places_is_read_or_refused() -> None:
    torch.manual_seed(0)
    layer, last = nn.Linear(3, 3), nn.Linear(3, 2)
    shared, other = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), last), nn.Sequential(layer, nn.ReLU(), last)
    x = torch.full((1, 3), 0.5)
    expected = (shared(x).softmax(1) - other(x).softmax(1)).abs().max().item()
    with or_refused():
        assert verify.faithfulness(shared, other, x, 0.0).faithub.item() >= expected - 1e-6


def many_small_terms(width: int, exponent: int, part: float, beside: int = 17) -> tuple[Weights, Weights]:
    """Constant networks: two terms of `2^exponent` that cancel; and `width` terms of `part` of their unit in the last place."""
    size, unit = 2.0**exponent, 2.0 ** (exponent - 52)
    small = float(np.float32(part * unit))
    zeros, ones = np.zeros((beside, 1)), np.zeros((2, beside))
    ones[1, 0], ones[1, -1] = 1.0, -1.0
    large = np.zeros(beside)
    large[[0, -1]] = size
    last = np.stack((np.zeros(width), np.full(width, small)))
    wide = weights((np.zeros((width, 1)), np.ones(width)), (last, [0.0, 1.0 - small * width]))
    return weights((zeros, large), (ones, [0.0, 0.0])), wide


def ask_many_small_terms(width: int, exponent: int, part: float, exchanged: bool) -> None:
    """What a process of its own is asked."""
    torch.set_num_threads(1)
    pair = many_small_terms(width, exponent, part)
    one = Case(*(reversed(pair) if exchanged else pair), np.float32([[0.5]]), 0.1)
    for method in ("crown", "joint", "complete"):
        with or_refused():
            holds(one, method, search=False, max_nodes=4, timeout=100.0, gap=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize(("width", "exponent", "part"), [(32768, 40, 0.45), (16384, 41, 0.45), (16384, 41, 0.2)])
def test_every_term_of_a_sum_over_both_networks_is_counted(
    width: int, exponent: int, part: float, exchanged: bool
) -> None:
    arguments = (width, exponent, part, exchanged)
    code = f"from tests.verify.test_faults import ask_many_small_terms; ask_many_small_terms{arguments}"
    # The order of a sum is the library's to choose, and a proof must not depend on it: this asks for the plainest one.
    environment = {**os.environ, "MKL_CBWR": "COMPATIBLE"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)


@pytest.mark.parametrize("first", [9e-39, 1e-40, 1e-44])
def test_subnormal_weights_are_numbers_where_the_processor_flushes_them(first: float) -> None:
    single_first = float(np.float32(first))
    second = float(np.float32(min(3e38, 2.7 / single_first)))
    teacher, student = (
        weights(([[first]], [0.0]), ([[second], [0.0]], [0.0, 0.0])),
        weights(([[0.0], [0.0]], [0.0, 0.0])),
    )
    one = Case(teacher, student, np.float32([[1.0]]), 0.1)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        for method in OUTWARD:
            with or_refused():
                holds(one, method, max_nodes=20, timeout=1.0)
        with or_refused():
            pair = adapters.module(teacher), adapters.module(student)
            torch.set_flush_denormal(True)
            least = truth(teacher.exact(), student.exact(), one.box(0)).met.max()
            assert verify.faithfulness(*pair, torch.tensor([[1.0]]), 0.1, method="crown").faithub.item() >= least
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("classes", "scale"), [(2, 100.0), (2, 1000.0), (2, 5000.0), (3, 1000.0), (3, 5000.0)])
def test_one_steep_input_closes(classes: int, scale: float, shifted: bool) -> None:
    slopes = [[0.0], [scale], [-scale]][:classes]
    levels = [[0.0, -scale / 2, scale / 2 + 1], [0.0, -scale / 2 + 0.5, scale / 2 + 0.5]]
    teacher, student = (weights((slopes, own[:classes])) for own in (levels[0], levels[int(shifted)]))
    one = Case(teacher, student, np.float32([[0.5]]), 0.5)
    result = holds(one, "complete", gap=1e-4, max_nodes=8000, timeout=1e4)
    assert result.status == ("closed",)
    assert result.faithub[0] - result.emplb[0] <= 1e-4


def decides(network: Weights, x: Fraction) -> int:
    logits = logits_at(network.exact(), [x])
    return logits.index(max(logits))


def test_coefficients_that_underflow_meet_large_activations() -> None:
    up, down = ([[3.3e38]], [0.0]), ([[1.111e-40]], [0.0])
    network = weights(*[up] * 8, *[down] * 7, ([[0.0], [1.111e-40]], [9.8263e-13, 0.0]))
    x = np.float32([[0.3]])
    assert decides(network, Fraction(float(x[0, 0])) + Fraction(1e-3)) == 1
    with or_refused():
        found = verify.robustness(adapters.network(network), torch.from_numpy(x), torch.tensor([0]), 1e-3)
        assert found.status != ("certified",)


def test_coefficients_that_underflow_certify_no_agreement() -> None:
    up, down = ([[3.3e38]], [0.0]), ([[1.111e-40]], [0.0])
    teacher = weights(*[up] * 8, *[down] * 7, ([[0.0], [1.111e-40]], [9.8263368e-13, 0.0]))
    student = weights(([[0.0], [0.0]], [1.0, 0.0]))
    x = np.float32([[0.3]])
    assert decides(teacher, Fraction(float(x[0, 0])) + Fraction(1e-3)) == 1
    for search in (True, False):
        with or_refused():
            networks = adapters.network(teacher), adapters.network(student)
            found = verify.agreement(*networks, torch.from_numpy(x), 1e-3, search=search)
            assert found.status != ("certified",)
