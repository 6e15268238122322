"""The figures of a study, as panels: each is drawn into the page, and all of one figure together into PNG and SVG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from faithkd.report.figures import COLOURS, Draw
from faithkd.study.certified import Runs
from faithkd.study.folder import StudyFolder
from faithkd.study.plan import REGIONS, STEPS
from faithkd.study.records import Plane, Planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: dict[str, Any] = {"sd": (0, (1, 1.2)), "ard": (0, (4, 1.5)), "rslad": (0, (6, 1.5, 1, 1.5)), "fd": "solid"}
"""Students differ by the line as well as by colour, for print and for every colour vision."""
BINS = 30
SCALE = "cividis"
OUTSIDE = -0.01
"""Radii beyond the region where its border is drawn: in it, pixels that lie on a side have a distance of 0."""

Values = NDArray[np.float64]
Found = dict[str, Any]


def panels(folder: StudyFolder, runs: Runs, found: Found) -> dict[str, list[Draw]]:
    """The panels of each figure that the study has the numbers for, by name. runs: its run folders; found: its `results`."""
    figures: dict[str, list[Draw]] = {}
    if found["bounds"]:
        figures["intervals"] = [
            _intervals(student, region, rows)
            for region in REGIONS
            for student in folder.plan.students
            if (rows := [row for row in found["bounds"] if (row["network"], row["region"]) == (student, region)])
        ]
    for region in REGIONS:
        values = _values(folder, runs, region)
        if values:
            for bound in ("emplb", "faithub"):
                figures[f"{bound}-{region}"] = [
                    _histogram(
                        label,
                        bound,
                        {s: by_radius[label][bound] for s, by_radius in values.items() if label in by_radius},
                    )
                    for label in folder.plan.labels
                    if any(label in by_radius for by_radius in values.values())
                ]
    if found["steps"]["means"]:
        figures["steps"] = [
            _steps(region, found["steps"]) for region in REGIONS if _has(found["steps"]["means"], region)
        ]
    record = folder.planes()
    if record is not None:
        for region in REGIONS:
            most = _largest(folder, record, region)
            figures[f"plane-{region}"] = [
                _plane(student, record.planes[f"{student}-{region}"], record.margin, most)
                for student in folder.plan.students
            ]
    return figures


def plane_caption(folder: StudyFolder, region: str) -> str:
    """Which image, and the scale."""
    record = folder.planes()
    assert record is not None
    where = f"Image {record.index} of the test set, label {record.label}, radius {record.eps}"
    return f"{where}; from 0 (dark) to {_largest(folder, record, region):.3f} (bright)."


def _values(folder: StudyFolder, runs: Runs, region: str) -> dict[str, dict[str, dict[str, Values]]]:
    """By student and radius the EMPLBs and FAITHUBs of all images."""
    values: dict[str, dict[str, dict[str, Values]]] = {}
    for student in folder.plan.students:
        lines = runs[student, region].certificates if (student, region) in runs else []
        for label, eps in folder.plan.labels.items():
            mine = [line for line in lines if line.eps == eps]
            if mine:
                values.setdefault(student, {})[label] = {
                    bound: np.array([getattr(line, bound) for line in mine]) for bound in ("emplb", "faithub")
                }
    return values


def _has(rows: list[Found], region: str) -> bool:
    return any(row["region"] == region for row in rows)


def _intervals(student: str, region: str, rows: list[Found]) -> Draw:
    """The mean interval against the radius, and the paper's."""

    def draw(axes: Axes) -> None:
        ticks = [row["eps"] for row in rows]
        places = np.arange(len(rows))
        low, high = (np.array([row[bound]["mean"] for row in rows]) for bound in ("emplb", "faithub"))
        axes.fill_between(places, low, high, color=COLOURS["faithub"], alpha=0.16, linewidth=0)
        axes.plot(places, high, "-o", color=COLOURS["faithub"], markersize=3.2, linewidth=1.2, label="FAITHUB, proved")
        axes.plot(places, low, "-o", color=COLOURS["emplb"], markersize=3.2, linewidth=1.2, label="EMPLB, found")
        if all(row["paper"] for row in rows):
            for bound, label in (("faithub", "the paper's"), ("emplb", "")):
                values = [row["paper"][bound]["mean"] for row in rows]
                axes.plot(places, values, "--", color=COLOURS[bound], linewidth=1, label=label or None)
        axes.set(
            title=f"{student}, {'cut' if REGIONS[region] else 'not cut'}", xlabel="radius (normalised)",
            ylabel="difference of confidences", ylim=(0, 1.02), xticks=places, xticklabels=ticks,
        )  # fmt: skip
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper left", handlelength=1.6)

    return draw


def _histogram(label: str, bound: str, values: dict[str, Values]) -> Draw:
    def draw(axes: Axes) -> None:
        from matplotlib.ticker import NullFormatter, StrMethodFormatter

        edges = np.linspace(0.0, 1.0, BINS + 1)
        for student, differences in values.items():
            axes.hist(
                np.clip(differences, 0, 1), edges.tolist(), histtype="step", color=COLOURS[student], linewidth=1.15,
                linestyle=DASHES[student], label=f"{student}: mean {differences.mean():.3f}",
            )  # fmt: skip
        axes.set(
            title=f"radius {label}", xlabel=f"{bound.upper()} of an image", ylabel="images", xlim=(0, 1), yscale="log"
        )
        axes.set_ylim(bottom=0.7)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best", handlelength=2.2)

    return draw


def _steps(region: str, steps: Found) -> Draw:
    def draw(axes: Axes) -> None:
        names = dict.fromkeys(row["network"] for row in steps["means"])
        for name in names:
            means = [row["emplb"] for row in steps["means"] if (row["network"], row["region"]) == (name, region)]
            if means:
                axes.plot(
                    range(len(STEPS)), means, marker="o", markersize=3, linewidth=1.15, linestyle=DASHES[name],
                    color=COLOURS[name], label=name,
                )  # fmt: skip
        axes.set(
            title=f"radius {steps['eps']}, {'cut' if REGIONS[region] else 'not cut'}", xlabel="steps of the search",
            ylabel="mean EMPLB", xticks=range(len(STEPS)), xticklabels=STEPS,
        )  # fmt: skip
        axes.set_ylim(0, 1.08 * max(row["emplb"] for row in steps["means"] if row["region"] == region))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best", handlelength=2.2)

    return draw


def _plane(student: str, plane: Plane, margin: float, most: float) -> Draw:
    def draw(axes: Axes) -> None:
        values, slack = np.array(plane.values), np.array(plane.slack)
        extent = (-margin, 1 + margin, -margin, 1 + margin)
        shown = axes.imshow(
            values,
            origin="lower",
            extent=extent,
            vmin=0,
            vmax=most,
            cmap=SCALE,
            interpolation="nearest",
            aspect="equal",
        )
        axes.contour(slack, levels=[OUTSIDE], extent=extent, colors="white", linewidths=0.9, linestyles="solid")
        for name, place, shift in (("image", (0, 0), 6), ("witness", (1, 0), -13), ("corner", (0, 1), 6)):
            axes.plot(*place, "o", color="white", markeredgecolor="#222222", markersize=4, markeredgewidth=0.8)
            left = place[0] < 0.5
            axes.annotate(
                f"{name} {getattr(plane.at, name):.3f}", place, xytext=(5 if left else -5, shift), textcoords="offset points",
                ha="left" if left else "right", fontsize=7.5, color="white",
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "#222222", "edgecolor": "none", "alpha": 0.55},
            )  # fmt: skip
        axes.set(title=student, xticks=[], yticks=[])
        axes.grid(visible=False)
        assert axes.figure is not None
        bar = axes.figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=7, length=2)
        bar.outline.set_visible(False)

    return draw


def _largest(folder: StudyFolder, record: Planes, region: str) -> float:
    """The largest value of any student in its region: the end of the scale that the students share."""
    inside = (_inside(record.planes[f"{student}-{region}"]) for student in folder.plan.students)
    return max(float(np.max(values, initial=0)) for values in inside)


def _inside(plane: Plane) -> Values:
    """The values in the region; those outside it do not set the scale."""
    values: Values = np.array(plane.values)[np.array(plane.slack) >= OUTSIDE]
    return values
