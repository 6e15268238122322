"""The bounds that `verify` gives, against the oracle: FAITHUB, EMPLB and its witness, every query, logits and their differences."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

import verify
from benchmarks.measuring.record import Row
from benchmarks.measuring.soundness_tally import Tally
from tests.oracle import adapters
from tests.oracle.cases import Case, Floats, Weights
from tests.oracle.confidences import certainly_below
from tests.oracle.exact import Network, Rationals
from tests.oracle.families import case
from tests.oracle.pieces import pieces
from tests.oracle.truth import MOST_HIDDEN, NEAR, Box, Point, Truth, at_points, sample, signed_difference, truth

OUTWARD = ("interval", "crown-boxes", "crown", "alpha-crown", "joint", "complete")
PROGRAMS = ("lp-boxes", "lp", "milp", "minlp")
LIMITS: list[dict[str, float]] = [
    {},
    {"gap": 1e-3, "max_nodes": 200},
    {"gap": 0.0, "max_nodes": 60},
    {"gap": 0.1, "max_nodes": 8},
    {"gap": 1e-3, "max_bytes": 6000},
    {"gap": 0.0, "max_nodes": 0},
    {"delta": 0.05, "gap": 1e-3},
    {"timeout": 0.0},
    {"delta": 0.0, "max_nodes": 40},
]
Sides = tuple[Floats, Floats]
ROWS, LAYERS = ("interval", "crown", "alpha-crown", "lp"), ("interval", "crown", "alpha-crown")


def bounds(family: str, first: int, count: int) -> Row:
    """FAITHUB, EMPLB, witnesses and queries of every method on so many cases of a family."""
    tally = Tally()
    for seed in range(first, first + count):
        one = case(family, seed)
        teacher, student = one.teacher.exact(), one.student.exact()
        truths = [truth(teacher, student, one.box(k), seed) for k in range(len(one.images))]
        for method in methods(teacher, student, seed):
            for search in (True, False):
                _ask(tally, one, truths, method, f"{family} {seed}", search=search, seed=seed)
    return tally.row()


def methods(teacher: Network, student: Network, seed: int) -> list[str]:
    """All methods that take no programs, and in turn those that do, where the programs are small."""
    small = teacher.hidden + student.hidden <= 50 and teacher.classes <= 6 and teacher.inputs <= 20
    return [*OUTWARD, *((PROGRAMS[seed % 4],) if small else ())]


def limits(seed: int) -> dict[str, float]:
    """Small, and not always the same: gaps and deltas down to 0, no nodes or no time, and storage for a handful of nodes."""
    return {"gap": 0.01, "max_nodes": 100, "timeout": 1.0, **LIMITS[seed % len(LIMITS)]}


def differences(family: str, first: int, count: int) -> Row:
    """The bounds of logit differences, and of the pre-activations of every layer, of single networks, at exact points."""
    tally = Tally()
    for seed in range(first, first + count):
        one = case(family, seed)
        for which, weights in (("teacher", one.teacher), ("student", one.student)):
            network = weights.exact()
            points = [extreme_points(network, one.box(k), seed) for k in range(len(one.images))]
            layers = [network.preactivations(own) for own in points]
            differences_of = [_rows(own[-1]) for own in layers]
            asked, where = (weights, adapters.region(one)), f"{family} {seed} {which}"
            for method in ROWS if network.inputs < 50 and network.classes <= 12 else ROWS[:-1]:
                _single(tally, f"differences {method}", partial(_differences, *asked, method), differences_of, where)
            for method in LAYERS:
                _single(tally, f"layers {method}", partial(_layers, *asked, method), layers, where)
    return tally.row()


def extreme_points(network: Network, box: Box, seed: int) -> Rationals:
    """Points of the box; where one input is wide the ends of all pieces, among which are the extremes of every neuron."""
    wide = [k for k, (low, high) in enumerate(box) if low < high]
    if len(wide) != 1 or network.hidden > MOST_HIDDEN:
        return Rationals.of(sample(box, seed, 16 if network.hidden <= 500 else 4))
    direction = [Fraction(int(k == wide[0])) for k in range(len(box))]
    origin = [Fraction(0) if k == wide[0] else low for k, (low, _) in enumerate(box)]
    low, high = box[wide[0]]
    places = [low, *(piece.high for piece in pieces(network.along(origin, direction), low, high))]
    return Rationals.of([[o + t * d for o, d in zip(origin, direction, strict=True)] for t in places])


def outside(exact: Rationals, low: Floats, high: Floats) -> bool:
    """Is one of the exact numbers `(m, k)` outside its bounds `(k,)`; bounds that are not numbers hold nothing."""
    nearest = exact.floats()
    if not ((nearest.min(axis=0) >= low) & (nearest.max(axis=0) <= high)).all():
        return True
    for bound, sign in ((low, -1), (high, 1)):
        for m, k in zip(*np.nonzero(nearest == bound), strict=True):
            if np.isfinite(bound[k]) and sign * (exact.fraction(m, k) - Fraction(float(bound[k]))) > 0:
                return True
    return False


def _ask(tally: Tally, one: Case, truths: list[Truth], method: str, where: str, *, search: bool, seed: int) -> None:
    """One call: without a search in turn the question itself, or every query by the method's core."""
    slack = adapters.tolerance(method)
    where = f"{where} {'search' if search else 'no search'}"
    images, eps = adapters.question(one)
    try:
        networks = adapters.network(one.teacher), adapters.network(one.student)
        if search or seed % 2:
            found = verify.faithfulness(
                *networks,
                images,
                eps,
                valid_range=one.valid_range,
                method=method,
                search=search,
                seed=seed,
                **limits(seed),
            )
            bounds, result = found.faithub.numpy()[:, None, None], found
        else:
            bounds, result = adapters.queries(one, method, limits(seed)), None
    except verify.Unsupported:
        tally.refuse(method)
        return
    except adapters.Unsound as error:
        tally.check(method, False, f"{where} stopped by its own check: {error}", len(images))
        return
    except Exception as error:
        tally.crash(method, error, where)
        return
    for k, own in enumerate(truths):
        exceeding = own.exceeds(bounds[k] + slack)
        tally.check(method, exceeding is None, f"{where} image {k}: {bounds[k].max()} is below query {exceeding}")
        if result is not None:
            _attained(tally, one, own, result, k, f"{where} {method} image {k}")


def _attained(tally: Tally, one: Case, own: Truth, result: verify.Faithfulness, k: int, where: str) -> None:
    """EMPLB is not above the truth, and its witness is in the exact region and attains it."""
    emplb = float(result.emplb[k])
    witness = [Fraction(value) for value in result.witness[k].flatten().tolist()]
    tally.check("emplb", emplb <= own.most and emplb >= 0, f"{where}: EMPLB {emplb} above {own.most}")
    inside = all(low <= value <= high for value, (low, high) in zip(witness, one.box(k), strict=True))
    tally.check("witness inside", inside, where)
    tally.check(
        "witness attains", emplb == 0 or attains(own, witness, emplb), f"{where}: EMPLB {emplb} is not attained"
    )


def attains(own: Truth, point: Point, value: float) -> bool:
    """Does one of the queries not certainly stay below the value at the point."""
    met = at_points(own.teacher, own.student, [point]).met
    queries = zip(*np.nonzero(met > value - NEAR), strict=True)
    return any(
        not certainly_below(-value, -signed_difference(own.teacher, own.student, point, int(label), int(sign)))
        for label, sign in queries
    )


def _single(tally: Tally, name: str, ask: Callable[[], list[Sides]], truths: list[list[Rationals]], where: str) -> None:
    """Bounds of one network by `ask`, and the exact numbers, of every image, that they are to hold."""
    try:
        found = ask()
    except verify.Unsupported:
        tally.refuse(name)
        return
    except Exception as error:
        tally.crash(name, error, where)
        return
    for k, own in enumerate(truths):
        holds = not any(outside(exact, low[k], high[k]) for exact, (low, high) in zip(own, found, strict=True))
        tally.check(name, holds, f"{where} image {k}")


def _differences(weights: Weights, region: verify.Region, method: str) -> list[Sides]:
    low, high = (
        side.flatten(1).numpy() for side in verify.logit_differences(adapters.network(weights), region, method)
    )
    return [(low, high)]


def _layers(weights: Weights, region: verify.Region, method: str) -> list[Sides]:
    found = verify.bounds(adapters.network(weights), region, method)
    return [(low.numpy(), high.numpy()) for low, high in zip(found.lower, found.upper, strict=True)]


def _rows(logits: Rationals) -> list[Rationals]:
    """All differences `z_j - z_i`, row i after row i."""
    values = logits.numerators[:, None, :] - logits.numerators[:, :, None]
    return [Rationals(values.reshape(len(values), -1), logits.denominators)]
