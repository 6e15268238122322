"""Cuts and the tightening by them against the oracle, at points whose logits and hidden neurons are known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

import verify
from benchmarks.measuring.record import Row
from benchmarks.measuring.soundness_tally import Tally
from tests.oracle import adapters
from tests.oracle.cases import Case, Floats
from tests.oracle.confidences import number
from tests.oracle.exact import Network, Rationals
from tests.oracle.families import case
from tests.oracle.truth import Point, float_confidences, sample, signed_difference

# Points of each image, and near misses of each row that are decided exactly.
POINTS, EXACT = 120, 2
# Splits that a row is taken through before its cut is asked for.
SPLITS = 3


def cuts(family: str, first: int, count: int) -> Row:
    """`L(x) >= p_up - p_down` at points inside their rows' boxes, for free numbers of every kind; and that the tightening by L keeps the
    points with `L(x)` at least the level."""
    tally = Tally()
    for seed in range(first, first + count):
        one = case(family, seed)
        where = f"{family} {seed}"
        try:
            parts = adapters.Cuts.of(one)
        except verify.Unsupported:
            tally.refuse("cuts")
            continue
        except Exception as error:
            tally.crash("cuts", error, where)
            continue
        images = [Image.of(one, k, seed) for k in range(len(one.images))]
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        for depth in range(SPLITS if one.teacher.exact().hidden <= 500 else 1):
            parts = parts.split(generator) if depth else parts
            _cut(tally, one, parts, images, np.random.default_rng([seed, depth]), f"{where} depth {depth}")
    return tally.row()


@dataclass(frozen=True)
class Image:
    """Points of an image's box, and what is exactly so there, as the nearest floats.

    x, exact `(m, d)`: the inputs, and whether that float is the input itself; difference `(m, C)`: of the confidences; hidden `(m, width)`:
    the neurons of both networks; gaps `(m, 2, C, C)`: `z_j - z_i` of both.
    """

    points: list[Point]
    x: Floats
    exact: NDArray[np.bool_]
    difference: Floats
    hidden: Floats
    gaps: Floats

    @classmethod
    def of(cls, one: Case, image: int, seed: int) -> Image:
        """Points of one image of a case."""
        networks = one.teacher.exact(), one.student.exact()
        count = POINTS if max(network.hidden for network in networks) <= 500 and networks[0].inputs < 50 else 8
        points = sample(one.box(image), seed, count)
        values = [network.preactivations(Rationals.of(points)) for network in networks]
        confidences = [float_confidences(own[-1]) for own in values]
        gaps = [_gaps(own[-1], network) for own, network in zip(values, networks, strict=True)]
        hidden = [layer.floats() for own in values for layer in own[:-1]]
        x = np.array([[float(value) for value in point] for point in points])
        exact = np.array(
            [[f == value for f, value in zip(*pair, strict=True)] for pair in zip(x.tolist(), points, strict=True)]
        )
        return cls(
            points, x, exact, confidences[0] - confidences[1],
            np.concatenate(hidden, axis=1) if hidden else np.zeros((len(points), 0)), np.stack(gaps, axis=1),
        )  # fmt: skip

    def inside(self, parts: adapters.Cuts, n: int) -> NDArray[np.bool_]:
        """`(m,)`: which points are inside the boxes of row n beyond doubt."""
        rows = parts.rows
        low, high = (side[n] for side in adapters.hidden_box(rows))
        d_low, d_high = (side[n] for side in adapters.difference_box(rows))
        r_low, r_high = (side[n] for side in adapters.lse_box(rows))
        x_low, x_high = (side[n] for side in adapters.input_box(parts))
        label = int(parts.asked[0][n])
        others = np.arange(parts.classes) != label
        d = self.gaps[:, :, label, :]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            top = d[:, :, others].max(axis=2, keepdims=True)
            r = np.log(np.exp(d[:, :, others] - top).sum(axis=2)) + top[..., 0]
        near = 1e-9 * (1 + np.abs(r))
        on_edge = self.exact & ((self.x == x_low) | (self.x == x_high))
        return (
            ((low < self.hidden) & (self.hidden < high)).all(axis=1)
            & ((d_low < d) & (d < d_high) | ~others).all(axis=(1, 2))
            & ((r_low < r - near) & (r + near < r_high)).all(axis=1)
            & ((x_low < self.x) & (self.x < x_high) | on_edge).all(axis=1)
        )

    def leaves(self, parts: adapters.Cuts, n: int) -> NDArray[np.bool_]:
        """`(m,)`: which points are outside one of the boxes of row n beyond doubt."""
        boxes = adapters.hidden_box(parts.rows), adapters.difference_box(parts.rows), adapters.input_box(parts)
        values = self.hidden, self.gaps[:, :, int(parts.asked[0][n]), :], self.x
        out = [(v < low[n]) | (v > high[n]) for v, (low, high) in zip(values, boxes, strict=True)]
        return np.stack([own.reshape(len(self.x), -1).any(axis=1) for own in out]).any(axis=0)


def _cut(
    tally: Tally, one: Case, parts: adapters.Cuts, images: list[Image], source: np.random.Generator, where: str
) -> None:
    rows = parts.rows
    slopes, free = parts.searched(int(source.choice([0, 5, 20])))
    noise = float(source.choice([0.0, 0.0, 1e-3, 1.0, 1e3]))
    slopes, free = slopes + noise * torch.randn(slopes.shape), free + noise * torch.randn(free.shape)
    try:
        cut = parts.cut(slopes, free)
    except Exception as error:
        tally.crash("cuts", error, where)
        return
    numbers = [t.numpy() for t in (cut.coefficients, cut.constant, cut.error)]
    level = np.zeros(len(rows))
    staying = []
    for n in range(len(rows)):
        image, own = images[int(rows.image[n])], [t[n] for t in numbers]
        label, sign = (int(t[n]) for t in parts.asked)
        inside = image.inside(parts, n) if "depth 0" not in where else np.ones(len(image.x), dtype=bool)
        if not (np.isfinite(own[0]).all() and np.isfinite(own[1]) and np.isfinite(own[2])):
            # What overflowed proves nothing, and says nothing of where the query can exceed a level.
            staying.append(inside)
            continue
        value = image.x @ own[0] + own[1]
        doubt = 1e-12 * (np.abs(image.x) @ np.abs(own[0]) + abs(own[1])) + 1e-300
        query = image.difference[:, label] * (1 - 2 * sign)
        spare = np.where(inside, value + own[2] - query, np.inf)
        misses = [m for m in np.argsort(spare)[:EXACT] if spare[m] < 1e-6 + doubt[m]]
        holds = all(_holds(one, image.points[m], own, label, sign) for m in misses)
        tally.check("cuts", holds, f"{where} row {n}", int(inside.sum()))
        chosen = int(source.choice(np.flatnonzero(inside))) if inside.any() else 0
        level[n] = value[chosen] - 2 * doubt[chosen]
        staying.append(inside & (value - doubt >= level[n]))
    try:
        narrowed = parts.narrowed(cut, torch.from_numpy(level))
    except Exception as error:
        tally.crash("tightening", error, where)
        return
    for n in range(len(rows)):
        lost = staying[n] & images[int(rows.image[n])].leaves(narrowed, n)
        tally.check("tightening", not lost.any(), f"{where} row {n}", int(staying[n].sum()))


def _holds(one: Case, point: Point, own: list[Floats], label: int, sign: int) -> bool:
    """Is `L(x)` and its error not certainly below the difference of confidences."""
    value = sum(
        (Fraction(c) * x for c, x in zip(own[0].tolist(), point, strict=True)),
        Fraction(float(own[1])) + Fraction(float(own[2])),
    )
    return not bool(number(value).b < signed_difference(one.teacher.exact(), one.student.exact(), point, label, sign).a)


def _gaps(logits: Rationals, network: Network) -> Floats:
    """`(m, C, C)`: `z_j - z_i`."""
    values = logits.numerators[:, None, :] - logits.numerators[:, :, None]
    return Rationals(values.reshape(len(values), -1), logits.denominators).floats().reshape(values.shape)
