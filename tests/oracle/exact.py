"""ReLU networks on rational inputs, without rounding: every number is an integer over a denominator that a whole row shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]
Numbers = Any


@dataclass(frozen=True)
class Rationals:
    """Rows of rationals: numerators `(n, k)` over denominators `(n,)` that are positive, all Python integers."""

    numerators: Integers
    denominators: Integers

    @classmethod
    def of(cls, rows: Sequence[Sequence[Fraction | float]]) -> Rationals:
        """Rows of fractions or floats, read exactly."""
        numerators, denominators = [], []
        for row in rows:
            fractions = [Fraction(value) for value in row]
            shared = lcm(*(value.denominator for value in fractions)) if fractions else 1
            numerators.append([value.numerator * (shared // value.denominator) for value in fractions])
            denominators.append(shared)
        return cls(_objects(numerators), _objects(denominators))

    def __len__(self) -> int:
        return len(self.denominators)

    def __getitem__(self, rows: Any) -> Rationals:
        return Rationals(self.numerators[rows], self.denominators[rows])

    def fraction(self, row: int, column: int) -> Fraction:
        """One of them."""
        return Fraction(self.numerators[row, column], self.denominators[row])

    def floats(self) -> NDArray[np.float64]:
        """The nearest floats, infinite where there is none."""
        return np.array(
            [[nearest(n, d) for n in row] for row, d in zip(self.numerators, self.denominators, strict=True)],
            dtype=np.float64,
        ).reshape(self.numerators.shape)


@dataclass(frozen=True)
class Network:
    """`z_1 = W_1 x + b_1`, `z_k = W_k relu(z_{k-1}) + b_k`; layers: `(W, b, e)` with the integers `W 2^-e`, `b 2^-e` the stored numbers."""

    layers: tuple[tuple[Integers, Integers, int], ...]

    @classmethod
    def of(cls, weights: Sequence[Numbers], biases: Sequence[Numbers]) -> Network:
        """A network of matrices and vectors (nested lists or arrays) of floats or fractions."""
        return cls(tuple(_scaled(weight, bias) for weight, bias in zip(weights, biases, strict=True)))

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.layers[0][0].shape[1]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return len(self.layers[-1][1])

    @property
    def hidden(self) -> int:
        """Number of hidden neurons."""
        return sum(len(bias) for _, bias, _ in self.layers[:-1])

    def logits(self, points: Rationals) -> Rationals:
        """At every point."""
        return self.preactivations(points)[-1]

    def preactivations(self, points: Rationals) -> list[Rationals]:
        """Of every layer at every point, the logits last."""
        numbers, denominators, found = points.numerators, points.denominators, []
        for k, (weight, bias, exponent) in enumerate(self.layers):
            numbers = numbers if k == 0 else np.maximum(numbers, 0)
            numbers = product(numbers, weight.T) + denominators[:, None] * bias
            numbers, denominators = shifted(numbers, denominators, exponent)
            found.append(Rationals(numbers, denominators))
        return found

    def scaled(self, scale: Numbers, shift: Numbers) -> Network:
        """The network of inputs that are first taken times `scale` and then moved by `shift`, one number an input each."""
        weight, bias, exponent = self.layers[0]
        (factors, by_scale), (offsets, by_shift) = integers(np.asarray(scale)), integers(np.asarray(shift))
        lowest = exponent + max(by_scale, by_shift, 0)
        moved = product(weight, offsets[:, None])[:, 0] << (lowest - exponent - by_shift)
        first = (weight * factors) << (lowest - exponent - by_scale), moved + (bias << (lowest - exponent)), lowest
        return Network((first, *self.layers[1:]))

    def along(self, start: Sequence[Fraction], direction: Sequence[Fraction]) -> Network:
        """The network of one input t that this one is on the points `start + t direction`."""
        weight, bias, exponent = self.layers[0]
        line = Rationals.of([direction, start])
        affine = product(line.numerators, weight.T)
        affine[1] += bias * line.denominators[1]
        slope, offset = (
            [Fraction(number, denominator << max(exponent, 0)) * (1 << max(-exponent, 0)) for number in row]
            for row, denominator in zip(affine, line.denominators, strict=True)
        )
        return Network((_dyadic(slope, offset), *self.layers[1:]))


def integers(values: NDArray[np.float64]) -> tuple[Integers, int]:
    """Integers n and an exponent e with `values == n 2^-e` exactly."""
    mantissas, exponents = np.frexp(values)
    whole = np.ldexp(mantissas, 53).astype(np.int64)
    exponents = exponents.astype(np.int64) - 53
    if not whole.any():
        return _objects(np.zeros(values.shape, dtype=np.int64).tolist(), values.shape), 0
    trailing = np.where(whole == 0, 0, np.log2(np.maximum(whole & -whole, 1)).astype(np.int64))
    least = int((exponents + trailing)[whole != 0].min())
    shifts = np.where(whole == 0, 0, exponents - least)
    numbers = [
        n << s if s >= 0 else n >> -s for n, s in zip(whole.ravel().tolist(), shifts.ravel().tolist(), strict=True)
    ]
    return _objects(numbers, values.shape), -least


def product(one: Integers, other: Integers) -> Integers:
    """The matrix product of integers, also where the inner size is zero."""
    if one.shape[1] == 0:
        return _objects([0] * (one.shape[0] * other.shape[1]), (one.shape[0], other.shape[1]))
    return one @ other


def nearest(numerator: int, denominator: int) -> float:
    """The float nearest to a fraction, infinite where it is beyond them."""
    try:
        return numerator / denominator
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")


def _scaled(weight: Numbers, bias: Numbers) -> tuple[Integers, Integers, int]:
    bias = np.asarray(bias, dtype=np.float64)
    weight = np.asarray(weight, dtype=np.float64).reshape(len(bias), -1)
    numbers, exponent = integers(np.concatenate((weight, bias[:, None]), axis=1))
    return numbers[:, :-1], numbers[:, -1], exponent


def _dyadic(slope: Sequence[Fraction], offset: Sequence[Fraction]) -> tuple[Integers, Integers, int]:
    """The layer `slope t + offset`, its fractions over powers of two."""
    shared = max(value.denominator for value in (*slope, *offset))
    if any(shared % value.denominator for value in (*slope, *offset)):
        raise ValueError("a line needs a start and a direction over powers of two")
    numbers = _objects([value.numerator * (shared // value.denominator) for value in (*slope, *offset)])
    return numbers[: len(slope), None], numbers[len(slope) :], shared.bit_length() - 1


def shifted(numbers: Integers, denominators: Integers, exponent: int) -> tuple[Integers, Integers]:
    """`numbers 2^-exponent / denominators` in integers."""
    if exponent >= 0:
        return numbers, denominators * (1 << exponent)
    return numbers * (1 << -exponent), denominators


def _objects(values: Any, shape: tuple[int, ...] | None = None) -> Integers:
    """An array of Python integers."""
    array = np.array(values, dtype=object)
    return array if shape is None else array.reshape(shape)
