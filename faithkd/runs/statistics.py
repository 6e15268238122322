"""The statistics of a run: what `summary.json` says about each radius."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import ArrayLike

from faithkd.runs.records import AGREEMENTS, Agreements, Certificate, Imitation, Radius, Spread

SUMMATION = 1e-9
"""What the order of a sum may change, relatively: numpy's differs from machine to machine."""


def statistics(
    certificates: Sequence[Certificate], empirical_agreement: Sequence[bool], delta: float | None = None
) -> tuple[Radius, ...]:
    """One record a radius, in the order of the certificates: means, standard deviations and counts.

    empirical_agreement: for each certificate, whether the search found no input on which the decisions differ. delta: adds the
    counts of the paper's Definition 2.
    """
    radii: dict[float, list[int]] = {}
    for row, certificate in enumerate(certificates):
        radii.setdefault(certificate.eps, []).append(row)
    return tuple(
        _of_radius([certificates[row] for row in rows], [empirical_agreement[row] for row in rows], delta)
        for rows in radii.values()
    )


def seconds_of(certificates: Sequence[Certificate]) -> float:
    """Of bounding, summed over the images."""
    return float(sum(line.seconds for line in certificates))


def same(one: Any, other: Any) -> bool:
    """Are two records of statistics the same, but for the order in which sums were made."""
    return _alike(msgspec.to_builtins(one), msgspec.to_builtins(other))


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=SUMMATION, abs_tol=1e-12)
    return bool(one == other)


def _of_radius(certificates: list[Certificate], empirical: list[bool], delta: float | None) -> Radius:
    emplb = np.array([line.emplb for line in certificates])
    faithub = np.array([line.faithub for line in certificates])
    first = certificates[0]
    return Radius(
        eps=first.eps,
        unit=first.unit,
        eps_pixel=first.eps_pixel,
        images=len(certificates),
        emplb=_spread(emplb),
        faithub=_spread(faithub),
        gap=_spread(faithub - emplb),
        root=_root(certificates),
        agreement=Agreements(*(sum(line.agreement == name for line in certificates) for name in AGREEMENTS)),
        empirical_agreement=float(np.mean(empirical)),
        agree_at_image=float(np.mean([line.teacher_class == line.student_class for line in certificates])),
        status=dict(sorted(Counter(line.status for line in certificates).items())),
        proof=dict(sorted(Counter(line.proof for line in certificates).items())),
        nodes=sum(line.nodes for line in certificates),
        seconds=seconds_of(certificates),
        imitation=UNSET if delta is None else _imitation(emplb, faithub, delta),
    )


def _imitation(emplb: ArrayLike, faithub: ArrayLike, delta: float) -> Imitation:
    proved, refuted = int(np.sum(np.asarray(faithub) <= delta)), int(np.sum(np.asarray(emplb) > delta))
    return Imitation(proved, np.size(emplb) - proved - refuted, refuted)


def _root(certificates: list[Certificate]) -> Spread | UnsetType:
    """FAITHUB before any branching, where every certificate keeps it."""
    roots = [line.root for line in certificates if line.root is not UNSET]
    return _spread(np.array(roots)) if len(roots) == len(certificates) else UNSET


def _spread(values: ArrayLike) -> Spread:
    return Spread(*(float(getattr(np, name)(values)) for name in ("mean", "std", "min", "max")))
