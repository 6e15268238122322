"""Gap against time: what the recorded runs of several methods on the same images say, and the figure of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

from benchmarks.measuring.record import Row
from faithkd.study.paper import TITLES

METHODS = ("crown", "alpha-crown", "joint", "milp", "minlp", "complete")
# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = {
    "crown": "#999999",
    "alpha-crown": "#56b4e9",
    "joint": "#009e73",
    "milp": "#e69f00",
    "minlp": "#cc79a7",
    "complete": "#0072b2",
}
MARKERS = {"crown": "s", "alpha-crown": "D", "joint": "^", "milp": "v", "minlp": "X", "complete": "o"}
DIGEST = "records sha256:"


@dataclass(frozen=True)
class Point:
    """What a method has after some time.

    seconds: of CPU, an image. gap: mean FAITHUB less the mean of the best EMPLB that any of the methods found. closed: the share of the
    images with that difference at most the gap asked for, or, while `complete` runs, of those that it is done with.
    """

    seconds: float
    gap: float
    closed: float


def curves(rows: Sequence[Row]) -> dict[str, list[Point]]:
    """The points of every method, by limit and then time, from rows of the same images; a row holds some of the images."""
    best: dict[int, float] = {}
    runs: dict[tuple[str, float | None], list[Row]] = {}
    for row in rows:
        runs.setdefault((row["method"], row["timeout"]), []).append(row)
        for place, emplb in enumerate(row["emplb"], row["first"]):
            best[place] = max(best.get(place, 0.0), emplb)
    emplb = fsum(best.values()) / len(best)
    points: dict[str, list[Point]] = {method: [] for method in METHODS}
    for (method, _), parts in sorted(runs.items(), key=lambda run: run[0][1] or 0.0):
        gaps = [upper - best[k] for part in parts for k, upper in enumerate(part["faithub"], part["first"])]
        if len(gaps) < len(best):
            continue
        closed = sum(gap <= parts[0]["gap"] for gap in gaps)
        for part in parts:
            points[method] += [
                Point(seconds / len(gaps), upper - emplb, min(done, closed) / len(gaps))
                for seconds, upper, done in part["trace"]
            ]
        seconds = fsum(part["cpu_seconds"] for part in parts) / len(gaps)
        points[method].append(Point(seconds, fsum(gaps) / len(gaps), closed / len(gaps)))
    return {method: found for method, found in points.items() if found}


def caught_up(row: Row) -> float | None:
    """CPU seconds after which `complete` had closed as many images as the prototype; None where it had not by the end."""
    if row["closed"] < row["prototype_closed"]:
        return None
    reached = [seconds for seconds, _, done in row["trace"] if min(done, row["closed"]) >= row["prototype_closed"]]
    return min([*reached, row["cpu_seconds"]])


def ahead(ours: Sequence[Point], theirs: Sequence[Point]) -> int:
    """At how many of their points we had, in no more time, a smaller mean gap and at least as many images closed."""
    return sum(
        any(own.seconds <= other.seconds and own.gap < other.gap and own.closed >= other.closed for own in ours)
        for other in theirs
    )


def by_pair(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of the figure by pair, a data set, a student and a radius: `mnist/fd/0.1`."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["what"] == "curve":
            found.setdefault(row["pair"], []).append(row)
    return found


def digest(rows: Sequence[Row]) -> str:
    """What tells the records behind the figure from others."""
    return DIGEST + hashlib.sha256(json.dumps(by_pair(rows), sort_keys=True).encode()).hexdigest()


def draw(rows: Sequence[Row], path: Path) -> None:
    """The figure as `path`.png and `path`.svg, a row a pair: the mean gap, and the share closed, against CPU seconds an image."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups = by_pair(rows)
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#d5d8dc",
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
        "svg.hashsalt": "faithkd",
    }
    with rc_context(style):
        figure = Figure(figsize=(9.0, 3.4 * len(groups)), layout="constrained")
        panels = figure.subplots(len(groups), 2, squeeze=False)
        for (gap_axes, closed_axes), (pair, found) in zip(panels, groups.items(), strict=True):
            dataset, student, eps = pair.split("/", 2)
            target = found[0]["gap"]
            for method, curve in curves(found).items():
                look = {
                    "color": COLOURS[method],
                    "marker": MARKERS[method],
                    "markersize": 5,
                    "linewidth": 1.6,
                    "label": method,
                }
                seconds = [point.seconds for point in curve]
                gap_axes.loglog(seconds, [point.gap for point in curve], **look)
                closed_axes.semilogx(seconds, [100 * point.closed for point in curve], **look)
            gap_axes.axhline(target, color="#222426", linewidth=0.8, linestyle="--")
            gap_axes.set_title(f"{TITLES[dataset]}, {student}, radius {eps}: mean gap", loc="left", weight="bold")
            closed_axes.set_title(f"images closed to {target:g}, %", loc="left", weight="bold")
            closed_axes.set_ylim(-4, 104)
            for axes in (gap_axes, closed_axes):
                axes.set_xlabel("CPU seconds an image")
        figure.legend(
            *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS), frameon=False
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path.with_suffix(".png"), dpi=160)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None, "Description": digest(rows)})
