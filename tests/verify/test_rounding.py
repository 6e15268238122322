"""Bounds against exact rational arithmetic, with weights from 1e-8 to 1e8 and cancelling sums."""

import random
from fractions import Fraction
from itertools import product

import pytest
import torch

import verify
from verify import Region, ReluNetwork
from verify.crown import crown_rows
from verify.interval import interval_bounds
from verify.replay import logits_at
from verify.softmax import confidence_bounds


def awkward(rows: int, columns: int, seed: int) -> torch.Tensor:
    """Float32 numbers of wildly different sizes, many of which nearly cancel."""
    source = random.Random(seed)
    values = [
        source.choice((-1, 1)) * source.uniform(1, 10) * 10.0 ** source.randint(-8, 7) for _ in range(rows * columns)
    ]
    values[1::2] = [-value * (1 + 2.0 ** -source.randint(8, 22)) for value in values[: len(values) - len(values) // 2]][
        : len(values[1::2])
    ]
    return torch.tensor(values, dtype=torch.float32).reshape(rows, columns).double()


def awkward_network(sizes: list[int], seed: int) -> ReluNetwork:
    pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
    biases = tuple(awkward(1, rows, seed + 50 + k)[0] for k, (rows, _) in enumerate(pairs))
    weights = tuple(awkward(rows, columns, seed + k) for k, (rows, columns) in enumerate(pairs))
    return ReluNetwork(weights, biases, tuple(torch.zeros_like(bias) for bias in biases))


def exact_logits(network: ReluNetwork, point: list[Fraction]) -> list[Fraction]:
    values = point
    for k in range(network.depth):
        values = values if k == 0 else [max(value, Fraction(0)) for value in values]
        values = [
            sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
            for row, b in zip(network.weights[k].tolist(), network.biases[k].tolist(), strict=True)
        ]
    return values


@pytest.mark.parametrize("seed", range(25))
def test_linear_rows_are_rounded_outward(seed: int) -> None:
    network = awkward_network([6, 4], seed)
    images = awkward(1, 6, seed + 99).abs().clamp(max=1)
    region = Region.ball(images, 1e-3 * (seed + 1), None)
    rows = awkward(3, 4, seed + 7)
    lower, upper = crown_rows(network, region, interval_bounds(network, region), rows)
    radius = Fraction(1e-3 * (seed + 1))
    for row, low, high in zip(rows.tolist(), lower[0].tolist(), upper[0].tolist(), strict=True):
        weights = [
            sum(Fraction(r) * Fraction(w) for r, w in zip(row, column, strict=True))
            for column in network.weights[0].T.tolist()
        ]
        middle = sum(Fraction(r) * Fraction(b) for r, b in zip(row, network.biases[0].tolist(), strict=True))
        middle += sum(w * Fraction(x) for w, x in zip(weights, images[0].tolist(), strict=True))
        spread = radius * sum(abs(w) for w in weights)
        assert Fraction(low) <= middle - spread
        assert Fraction(high) >= middle + spread


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("method", ["interval", "crown", "alpha-crown"])
def test_corners_do_not_escape(seed: int, method: str) -> None:
    network = awkward_network([3, 4, 4, 3], seed)
    images = torch.rand((1, 3), generator=torch.Generator().manual_seed(seed))
    eps = 10.0 ** -(seed % 9)
    region = Region.ball(images, eps, None)
    lower, upper = verify.logit_differences(network, region, method)
    for signs in product((-1, 0, 1), repeat=3):
        point = [Fraction(x) + s * Fraction(eps) for x, s in zip(images[0].tolist(), signs, strict=True)]
        logits = exact_logits(network, point)
        for i, j in product(range(3), repeat=2):
            assert Fraction(lower[0, i, j].item()) <= logits[j] - logits[i] <= Fraction(upper[0, i, j].item())


@pytest.mark.parametrize("seed", range(25))
def test_replay_encloses_the_exact_logits(seed: int) -> None:
    network = awkward_network([4, 5, 5, 3], seed)
    point = torch.rand((1, 4), generator=torch.Generator().manual_seed(seed))
    lower, upper = logits_at(network, point)
    for exact, low, high in zip(
        exact_logits(network, [Fraction(x) for x in point[0].tolist()]), lower[0], upper[0], strict=True
    ):
        assert Fraction(low.item()) <= exact <= Fraction(high.item())


def exponential(x: Fraction) -> tuple[Fraction, Fraction]:
    """Rational bounds of exp(x), by its series at x / 2^k and squaring; relative width below 1e-25."""
    halvings = max(0, (abs(x.numerator) // x.denominator).bit_length()) + 8
    small = x / 2**halvings
    term, total = Fraction(1), Fraction(1)
    for n in range(1, 30):
        term = term * small / n
        total += term
    total = Fraction(round(total * 2**200), 2**200)
    for _ in range(halvings):
        total = total * total
        shift = 220 - total.numerator.bit_length() + total.denominator.bit_length()
        total = Fraction(round(total * Fraction(2) ** shift)) / Fraction(2) ** shift
    return total * (1 - Fraction(1, 10**25)), total * (1 + Fraction(1, 10**25))


@pytest.mark.parametrize("differences", [[0.1, -3.0], [700.0, 1.0], [-40.0, -45.5], [1e-17, -1e-17], [36.7, -800.0]])
def test_confidences_enclose_the_exact_softmax(differences: list[float]) -> None:
    d = torch.tensor([0.0, *differences], dtype=torch.float64)
    square = (d[None, :] - d[:, None])[None]
    lower, upper = confidence_bounds(square, square)
    exponents = [exponential(Fraction(value)) for value in square[0, 0].tolist()]
    smallest = 1 / sum((high for _, high in exponents), Fraction(0))
    largest = 1 / sum((low for low, _ in exponents), Fraction(0))
    assert Fraction(lower[0, 0].item()) <= smallest
    assert largest <= Fraction(upper[0, 0].item()) + Fraction(1, 10**24)
    assert upper[0, 0] - lower[0, 0] < 1e-12
