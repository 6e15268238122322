"""Networks with awkward weights, and what they compute, in rational numbers."""

import random
from fractions import Fraction

import torch

from verify import ReluNetwork


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


def exact_difference(
    teacher: ReluNetwork, student: ReluNetwork, point: list[Fraction], label: int
) -> tuple[Fraction, Fraction]:
    """Rational bounds of `p_t,label - p_s,label` at a point."""
    bounds = []
    for network in (teacher, student):
        logits = exact_logits(network, point)
        # Beyond this, a confidence is 0 or 1 to within 1e-40.
        differences = [max(min(z - logits[label], Fraction(100)), Fraction(-100)) for z in logits]
        exponents = [exponential(Fraction(round(d * 2**120), 2**120)) for d in differences]
        bounds.append(
            (1 / sum((high for _, high in exponents), Fraction(0)), 1 / sum((low for low, _ in exponents), Fraction(0)))
        )
    return bounds[0][0] - bounds[1][1], bounds[0][1] - bounds[1][0]


def exact_hidden(network: ReluNetwork, point: list[Fraction]) -> list[Fraction]:
    """The pre-activations of all hidden layers."""
    values, hidden = point, []
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        values = [
            sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
            for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
        ]
        hidden += values
        values = [max(value, Fraction(0)) for value in values]
    return hidden
