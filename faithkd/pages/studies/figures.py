"""The figures of a study."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from faithkd.pages.content import Draw, Figure
from faithkd.pages.drawing import COLOURS
from faithkd.pages.studies.planes import plane_panels
from faithkd.pages.studies.tables import REGION_WORDS
from faithkd.study.certified import Runs
from faithkd.study.folder import StudyFolder
from faithkd.study.plan import REGIONS, STEPS
from faithkd.study.results import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: dict[str, Any] = {"sd": (0, (1, 1.2)), "ard": (0, (4, 1.5)), "rslad": (0, (6, 1.5, 1, 1.5)), "fd": "solid"}
"""Students differ by the line as well as by colour, for print and for every colour vision."""
BINS = 30

TITLES = {
    "intervals": "Mean EMPLB and FAITHUB against the radius, here and in the paper",
    "emplb-cut": "Histograms of EMPLB, regions cut",
    "faithub-cut": "Histograms of FAITHUB, regions cut",
    "emplb-whole": "Histograms of EMPLB, regions not cut",
    "faithub-whole": "Histograms of FAITHUB, regions not cut",
    "steps": "Mean EMPLB against the number of steps",
    "plane-cut": "The difference of confidences on planes, regions cut",
    "plane-whole": "The difference of confidences on planes, regions not cut",
}
"""What each figure shows."""
SMALL = frozenset({"intervals", "plane-cut", "plane-whole"})
"""Figures with a panel for each student."""

Values = NDArray[np.float64]


def figure(name: str, panels: Iterable[Draw] = (), caption: str = "") -> Figure:
    """One of the figures."""
    return Figure(name, tuple(panels), TITLES[name], caption, name in SMALL)


def study_figures(folder: StudyFolder, runs: Runs, found: Row) -> list[Figure]:
    """Each figure that the study has the numbers for. runs: its run folders; found: its `results`."""
    students, labels, bounds = folder.plan.students, folder.plan.labels, found["bounds"]
    figures = []
    if bounds:
        cells = {
            (student, region): [row for row in bounds if (row["network"], row["region"]) == (student, region)]
            for region in REGIONS
            for student in students
        }
        figures.append(figure("intervals", (_intervals(*cell, rows) for cell, rows in cells.items() if rows)))
    for region in REGIONS:
        for bound in ("emplb", "faithub"):
            by_radius = {label: _values(folder, runs, region, bound, eps) for label, eps in labels.items()}
            panels = [_histogram(label, bound, values) for label, values in by_radius.items() if values]
            figures += [figure(f"{bound}-{region}", panels)] if panels else []
    if means := found["steps"]["means"]:
        regions = [region for region in REGIONS if any(row["region"] == region for row in means)]
        figures.append(figure("steps", (_steps(region, found["steps"]) for region in regions)))
    if (planes := folder.planes()) is not None:
        figures += [figure(f"plane-{region}", *plane_panels(planes, students, region)) for region in REGIONS]
    return figures


def _values(folder: StudyFolder, runs: Runs, region: str, bound: str, eps: float) -> dict[str, Values]:
    """By student the EMPLBs or FAITHUBs of all images at a radius."""
    values = {
        student: np.array([getattr(line, bound) for line in runs[student, region].certificates if line.eps == eps])
        for student in folder.plan.students
        if (student, region) in runs
    }
    return {student: found for student, found in values.items() if len(found)}


def _intervals(student: str, region: str, rows: list[Row]) -> Draw:
    """The mean interval against the radius, and the paper's."""

    def draw(axes: Axes) -> None:
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
            title=f"{student}, {REGION_WORDS[region]}", xlabel="radius (normalised)",
            ylabel="difference of confidences", ylim=(0, 1.02), xticks=places, xticklabels=[row["eps"] for row in rows],
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


def _steps(region: str, steps: Row) -> Draw:
    def draw(axes: Axes) -> None:
        for name in dict.fromkeys(row["network"] for row in steps["means"]):
            means = [row["emplb"] for row in steps["means"] if (row["network"], row["region"]) == (name, region)]
            if means:
                axes.plot(
                    range(len(STEPS)), means, marker="o", markersize=3, linewidth=1.15, linestyle=DASHES[name],
                    color=COLOURS[name], label=name,
                )  # fmt: skip
        axes.set(
            title=f"radius {steps['eps']}, {REGION_WORDS[region]}", xlabel="steps of the search",
            ylabel="mean EMPLB", xticks=range(len(STEPS)), xticklabels=STEPS,
        )  # fmt: skip
        axes.set_ylim(0, 1.08 * max(row["emplb"] for row in steps["means"] if row["region"] == region))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best", handlelength=2.2)

    return draw
