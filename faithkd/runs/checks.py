"""What must be true of the records of a run, whoever wrote them: each check gives the first thing that is not, in words, or None."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from faithkd.runs.arrays import LARGEST_IMAGE, MOST_CLASSES, Arrays
from faithkd.runs.parts import images_of_shard
from faithkd.runs.records import Certificate, Summary

ROWS = 2000
"""Witnesses that are looked at together, in float64."""
ROUNDING = 1e-9
"""What float64 may add to a comparison of bounds that were made in different ways."""
SUM = 1e-6
"""How far confidences may be from a sum of 1: each is the float32 number next to a float64 one, and there are few large ones."""
ATTAINED = {1: 1e-3, 2: 1e-6}
"""How far EMPLB, proved in float64, may be above the difference of the stored confidences, and a decision's below another's, by format.

Format 2 stores the float32 numbers next to confidences in float64: found are at most 6e-8, the rounding of two of them. Format 1
stored what the networks give in float32: found are at most 3e-6, and more is possible where logits are large.
"""


def summary_problem(summary: Summary) -> str | None:
    """Of `summary.json` alone."""
    request, (low, high) = summary.request, summary.valid_range
    if request.eps is None or request.unit is None or request.data is None:
        return "its request names no radii, no unit or no data"
    if not low < high:
        return f"its valid range is {low:g} to {high:g}"
    new = {name: getattr(summary, name) for name in ("scale", "image_shape", "classes", "digest")}
    if summary.format == 1:
        known = [name for name, value in {**new, "files": summary.files}.items() if value is not UNSET]
        return f"it has format 1, which knows no {known[0]}" if known else None
    if missing := [name for name, value in new.items() if value is UNSET]:
        return f"it has no {missing[0]}"
    if request.unit == "pixel" and summary.scale != 1:
        return f"its radius in pixels has the scale {summary.scale}"
    if math.prod(new["image_shape"]) > LARGEST_IMAGE or new["classes"] > MOST_CLASSES:
        return f"its images have the shape {new['image_shape']} and {new['classes']} classes"
    return _files_problem(summary)


def _files_problem(summary: Summary) -> str | None:
    """A run that has ended says what its files hold; one that is running cannot."""
    if summary.state == "running" or summary.files is UNSET:
        agrees = summary.state == "running" and summary.files is UNSET
        return None if agrees else f"it is {summary.state}, with digests of its files or without"
    joined, parts = summary.files.witnesses is not UNSET, summary.files.parts is not UNSET
    agrees = (joined, parts) == ((True, False) if summary.state == "complete" else (False, True))
    return None if agrees else f"it is {summary.state}, but its witnesses are stored otherwise"


def lines_problem(lines: Sequence[Certificate], summary: Summary) -> str | None:
    """Of certificates, in their order, and the request that they answer."""
    request = summary.request
    radii, indices = set(request.eps or ()), None if request.index is None else set(request.index)
    scale = _scale(lines, summary)
    for line in lines:
        wrong = _line_problem(line, summary)
        if wrong is None and line.eps not in radii:
            wrong = f"its radius {line.eps} was not asked for"
        if wrong is None and indices is not None and line.index not in indices:
            wrong = "it was not asked for"
        if wrong is None and not _is_scaled(line, scale, summary.format):
            wrong = f"{line.eps} {line.unit} are not {line.eps_pixel} pixels"
        if wrong is not None:
            return f"image {line.index} at {line.eps}: {wrong}"
    twice = [key for key, count in Counter(line.key for line in lines).items() if count > 1]
    return f"there are two certificates for image {twice[0][1]} at {twice[0][0]}" if twice else None


def whole_problem(lines: Sequence[Certificate], summary: Summary) -> str | None:
    """Of the certificates of a complete run: those that the request asks for, each once, in order."""
    request = summary.request
    radii, images = list(request.eps or ()), images_of_shard(request)
    if len(lines) != len(radii) * images:
        return f"there are {len(lines)} certificates, but the request asks for {len(radii) * images}"
    first = [line.index for line in lines[:images]]
    expected = [(eps, index) for eps in radii for index in sorted(first)]
    if [line.key for line in lines] != expected:
        return "the certificates are not those of the same images at each radius, by radius and index"
    if request.index is not None and request.shard == "1/1" and set(first) != set(request.index):
        return "the certificates are not those of the images that the request names"
    return None


def arrays_problem(lines: Sequence[Certificate], arrays: Arrays, summary: Summary) -> str | None:
    """Of the witnesses, a row for each certificate, in their order."""
    if len(lines) != len(arrays["index"]):
        return f"there are {len(lines)} certificates and {len(arrays['index'])} witnesses"
    parts = (slice(start, start + ROWS) for start in range(0, len(lines), ROWS))
    found = (
        _rows_problem(lines[part], {name: values[part] for name, values in arrays.items()}, summary) for part in parts
    )
    with np.errstate(invalid="ignore"):  # Numbers that are none are found, not warned of.
        return next(filter(None, found), None)


def _rows_problem(lines: Sequence[Certificate], arrays: Arrays, summary: Summary) -> str | None:
    eps = np.array([line.eps_pixel for line in lines])
    emplb = np.array([line.emplb for line in lines])
    classes, slack = arrays["teacher"].shape[2], ATTAINED[summary.format]
    low, high = summary.valid_range
    pixels, moved = (_flat(arrays[name]) for name in ("image", "witness"))
    pair = [arrays[name].astype(np.float64) for name in ("teacher", "student")]
    largest = np.abs(pair[0][:, 1] - pair[1][:, 1]).max(axis=1)
    decided = [np.array([getattr(line, f"{name}_class") for line in lines]) for name in ("teacher", "student")]
    named = np.array([max(line.label, line.worst_class, line.teacher_class, line.student_class) for line in lines])
    # A comparison with a number that is none is false: every rule says what must hold.
    rules = {
        "its witness is another's": (arrays["index"] == [line.index for line in lines])
        & (arrays["eps"] == [line.eps for line in lines]),
        f"it names a class that is none of {classes}": named < classes,
        "it lies outside the valid range": _between(pixels.astype(np.float32), np.float32(low), np.float32(high)),
        "its witness lies outside the radius": (np.abs(moved - pixels) <= eps[:, None]).all(axis=1),
        "its witness lies outside the valid range": _between(moved, low, high) | (not summary.request.clip),
        "its confidences are none": np.all([_are_confidences(values) for values in pair], axis=0),
        "its classes are not those of the largest confidences": np.all(
            [_decides(values[:, 0], which, slack) for values, which in zip(pair, decided, strict=True)], axis=0
        ),
        "its witness does not attain its EMPLB": largest >= emplb - slack,
    }
    for wrong, holds in rules.items():
        if not holds.all():
            line = lines[int(np.argmin(holds))]
            return f"image {line.index} at {line.eps}: {wrong}"
    return None


def _line_problem(line: Certificate, summary: Summary) -> str | None:
    request = summary.request
    settled = line.gap <= request.gap + ROUNDING or (
        request.delta is not None and (line.faithub <= request.delta or line.emplb > request.delta)
    )
    rules = {
        f"its method {line.method!r} is not the request's": line.method == request.method,
        f"its unit {line.unit} is not the request's": line.unit == request.unit,
        f"EMPLB {line.emplb} to FAITHUB {line.faithub} is no interval in [0, 1]": 0 <= line.emplb <= line.faithub <= 1,
        f"FAITHUB {line.faithub} is above {line.root}, what it was before branching": line.root is UNSET
        or line.faithub <= line.root + ROUNDING,
        f"it is closed with a gap of {line.gap:g}": line.status != "closed" or settled,
        "it is certified with two decisions": line.agreement != "certified" or line.teacher_class == line.student_class,
    }
    return next((wrong for wrong, holds in rules.items() if not holds), None)


def _scale(lines: Sequence[Certificate], summary: Summary) -> float:
    """One unit of the radius in pixels: as the run says, or as its first radius shows."""
    if summary.scale is not UNSET:
        return summary.scale
    if summary.request.unit == "pixel":
        return 1.0
    return next((line.eps_pixel / line.eps for line in lines if line.eps > 0), 1.0)


def _is_scaled(line: Certificate, scale: float, form: int) -> bool:
    """Format 1 does not store the scale, so a quotient stands for it."""
    exact = line.eps * scale
    return line.eps_pixel == exact if form > 1 else math.isclose(line.eps_pixel, exact, rel_tol=1e-12)


def _flat(images: NDArray[Any]) -> NDArray[np.float64]:
    """Differences of float32 numbers, and comparisons with float64 ones, are made in float64."""
    return images.reshape(len(images), -1).astype(np.float64)


def _between(values: NDArray[Any], low: Any, high: Any) -> NDArray[np.bool_]:
    return np.asarray(((values >= low) & (values <= high)).all(axis=1))


def _are_confidences(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`(m,)` truth values of confidences `(m, 2, classes)`."""
    sums = np.abs(values.sum(axis=2) - 1) <= SUM
    return np.asarray(((values >= 0) & (values <= 1)).all(axis=(1, 2)) & sums.all(axis=1))


def _decides(confidences: NDArray[np.float64], which: NDArray[np.intp], slack: float) -> NDArray[np.bool_]:
    """Is `which` `(m,)` a class of the largest confidence, but for rounding; confidences `(m, classes)`."""
    chosen = confidences[np.arange(len(which)), np.minimum(which, confidences.shape[1] - 1)]
    return np.asarray(chosen >= confidences.max(axis=1) - slack)
