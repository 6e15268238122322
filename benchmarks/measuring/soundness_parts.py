"""The parts of a joint proof against the oracle: the head at any free numbers, the narrowing of boxes, cuts, and the tightening by a cut.

Points are sought where a part has the least to spare, in float64 and by the thousand; the nearest misses are then decided exactly.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring.record import Row
from benchmarks.measuring.soundness_tally import Tally
from tests.oracle import adapters
from tests.oracle.cases import Floats
from tests.oracle.confidences import CONTEXT, Interval, certainly_below, confidence, exponential, number

# Rows of one kind that are checked at once, points of each that are tried, and near misses that are decided exactly.
ROWS, POINTS, EXACT = 100, 160, 2
# How far a threshold lies below the value of a point that has to stay.
BELOW = (1e-15, 1e-13, 1e-9, 1e-3)


def heads(classes: int, first: int, count: int) -> Row:
    """The head's bound at free numbers of every size, near points where it touches, and at the ends of its boxes."""
    tally = Tally()
    for seed in range(first, first + count):
        source = np.random.default_rng([seed, classes, 1])
        made = Made.random(source, classes)
        free = free_numbers(source, made)
        found = adapters.head(made.rows, free)
        linear = [
            (own[:, None] * made.points[:, :, side]).sum(axis=2) for side, own in enumerate((found.up, found.down))
        ]
        confidences = [float_confidence(made.points[:, :, side]) for side in range(2)]
        with np.errstate(invalid="ignore"):
            spare = [linear[0] - confidences[0], linear[1] + confidences[1]]
        places = [np.argsort(np.nan_to_num(own, nan=np.inf), axis=1)[:, :EXACT] for own in spare]
        for n in range(ROWS):
            for k in range(EXACT):
                d = [made.points[n, places[side][n, k], side] for side in range(2)]
                tally.check(f"head of {classes}", head_holds(found, n, d, int(made.label[n])), f"seed {seed} row {n}")
    return tally.row()


def narrowing(classes: int, first: int, count: int) -> Row:
    """No point whose difference exceeds the threshold leaves its box."""
    tally = Tally()
    for seed in range(first, first + count):
        source = np.random.default_rng([seed, classes, 2])
        made = Made.random(source, classes)
        values = float_confidence(made.points[:, :, 0]) - float_confidence(made.points[:, :, 1])
        kept = source.integers(0, POINTS, ROWS)
        kept = np.where(source.random(ROWS) < 0.5, values.argmax(axis=1), kept)
        level = values[np.arange(ROWS), kept] - source.choice(BELOW, ROWS)
        rows, empty = adapters.narrow(made.rows, torch.from_numpy(level))
        low, high = (np.take_along_axis(side, made.order[:, :, None], axis=1) for side in adapters.difference_box(rows))
        r_low, r_high = (np.take_along_axis(side, made.order, axis=1) for side in adapters.lse_box(rows))
        for n in range(ROWS):
            d = made.points[n, kept[n]]
            label = int(made.label[n])
            if not certainly_below(level[n], exact_confidence(d[0], label) - exact_confidence(d[1], label)):
                continue
            holds = not empty[n] and bool(((low[n] <= d) & (d <= high[n])).all())
            holds = holds and all(lse_inside(d[side], label, r_low[n, side], r_high[n, side]) for side in range(2))
            tally.check(f"narrowing of {classes}", holds, f"seed {seed} row {n}")
    return tally.row()


class Made:
    """Random rows, and points `(n, POINTS, 2, C)` inside their boxes, (up, down); order `(n, 2)`: which network is up and which down."""

    def __init__(self, rows: adapters.Rows, points: Floats, label: Floats, order: Floats) -> None:
        self.rows, self.points, self.label, self.order = rows, points, label, order

    @classmethod
    def random(cls, source: np.random.Generator, classes: int) -> Made:
        """Boxes of every width, from points to thousands; the LSE's own boxes sometimes narrower."""
        label, sign = source.integers(0, classes, ROWS), source.integers(0, 2, ROWS)
        reach = 10.0 ** source.uniform(-3, 3.5, (ROWS, 1, 1))
        low = np.float32(reach * source.standard_normal((ROWS, 2, classes))).astype(np.float64)
        wide = 10.0 ** source.uniform(-6, 3.5, (ROWS, 2, 1)) * source.random((ROWS, 2, classes)) ** 2
        wide *= source.random((ROWS, 2, classes)) < 0.9
        high = low + wide
        # Boxes with one end where confidences change and the other far away.
        steep = source.random((ROWS, 1, 1)) < 0.4
        near = 3 * source.standard_normal((ROWS, 2, classes))
        far = near - source.choice([-1, 1], (ROWS, 1, 1)) * 10.0 ** source.uniform(1, 3.7, (ROWS, 2, classes))
        low, high = np.where(steep, np.minimum(near, far), low), np.where(steep, np.maximum(near, far), high)
        low, high = (np.float32(side).astype(np.float64) for side in (low, high))
        is_label = np.eye(classes, dtype=bool)[label][:, None, :]
        low, high = np.where(is_label, 0.0, low), np.where(is_label, 0.0, np.maximum(low, high))
        shares = source.random((ROWS, POINTS, 2, classes))
        kinds = source.integers(0, 5, (ROWS, POINTS, 1, 1))
        shares = np.where(
            kinds == 0, shares, np.where(kinds == 1, shares.round(), np.where(kinds == 2, shares < 0.1, shares > 0.1))
        )
        points = low[:, None] + (high - low)[:, None] * shares
        points = np.where(kinds == 4, 4 * source.standard_normal(points.shape), points)
        points = np.clip(points, low[:, None], high[:, None])
        rows = adapters.head_rows(*(torch.from_numpy(t) for t in (label, sign, low, high)))
        order = np.stack((sign, 1 - sign), axis=1)
        if source.random() < 0.5:
            r = float_lse(points, is_label)
            near = 1e-9 * (1 + np.abs(r)).max(axis=1)
            rows = adapters.with_lse(
                rows, torch.from_numpy(r.min(axis=1) - near), torch.from_numpy(r.max(axis=1) + near)
            )
        points = np.take_along_axis(points, order[:, None, :, None], axis=2)
        return cls(rows, points, label, order)


def free_numbers(source: np.random.Generator, made: Made) -> Tensor:
    """Where the head touches at one of the points, changed by noise of every size, or only noise; some are not finite, or huge."""
    middling = np.abs(float_confidence(made.points) - 0.5).argmin(axis=1)
    touching = [made.points[np.arange(ROWS), middling[:, side], side] for side in range(2)]
    start = adapters.head_start(made.rows, *(torch.from_numpy(point) for point in touching))
    noise = torch.from_numpy(source.standard_normal(start.shape) * 10.0 ** source.uniform(-9, 6, (len(start), 1)))
    kind = torch.from_numpy(source.integers(0, 4, (len(start), 1)))
    free = torch.where(
        kind == 0, start, torch.where(kind == 1, start + noise, torch.where(kind == 2, noise, start * (1 + noise)))
    )
    size = torch.from_numpy(10.0 ** source.uniform(-40, 37, (len(start), 1)))
    return torch.where(torch.from_numpy(source.random(start.shape) < 0.02), size * free.sign(), free)


def head_holds(found: adapters.Bounds, n: int, d: list[Floats], label: int) -> bool:
    """Is the linear bound, its error added, not certainly below `p_up - p_down`; a bound that is infinite or no number proves nothing."""
    numbers = [found.value[n], found.error[n], *found.up[n], *found.down[n]]
    if not np.isfinite(numbers).all():
        return True
    coefficients, differences = np.concatenate((found.up[n], found.down[n])), np.concatenate(d)
    products = [Fraction(c) * Fraction(x) for c, x in zip(coefficients.tolist(), differences.tolist(), strict=True)]
    bound = sum(products, Fraction(float(found.value[n])) + Fraction(float(found.error[n])))
    difference = exact_confidence(d[0], label) - exact_confidence(d[1], label)
    return not bool(number(bound).b < difference.a)


def exact_confidence(d: Floats, label: int) -> Interval:
    """`1 / (1 + sum over j of exp(d_j))` over the classes that are not the label."""
    return confidence([Fraction(value) for value in np.where(np.arange(len(d)) == label, 0.0, d).tolist()], label)


def lse_inside(d: Floats, label: int, low: float, high: float) -> bool:
    """Is the logarithm of the sum of exponentials not certainly outside `[low, high]`."""
    total = sum((exponential(Fraction(value)) for j, value in enumerate(d.tolist()) if j != label), CONTEXT.mpf(0))
    if not 0 < total.a <= total.b < CONTEXT.inf:
        return True
    exact = CONTEXT.log(total)
    return not bool(exact.b < low or exact.a > high)


def float_lse(points: Floats, is_label: Floats) -> Floats:
    """`(n, POINTS, 2)` of `(n, POINTS, 2, C)`."""
    hidden = np.where(is_label[:, None], -np.inf, points)
    top = hidden.max(axis=-1, keepdims=True)
    return np.log(np.exp(hidden - top).sum(axis=-1)) + top[..., 0]


def float_confidence(points: Floats) -> Floats:
    """`(...,)` of `(..., C)`, the label's difference being 0."""
    with np.errstate(over="ignore"):
        return 1 / np.exp(points).sum(axis=-1)
