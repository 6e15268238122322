"""Figure 1: the difference of confidences on planes through an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from faithkd.pages.content import Draw
from faithkd.study.records import Plane, Planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALE = "cividis"
OUTSIDE = -0.01
"""Radii beyond the region where its border is drawn: in it, pixels that lie on a side have a distance of 0."""


def plane_panels(record: Planes, students: Sequence[str], region: str) -> tuple[list[Draw], str]:
    """A panel for each student, and which image and scale they share: it ends at the largest value of any of them in its region."""
    planes = {student: record.planes[f"{student}-{region}"] for student in students}
    most = max(float(np.max(_inside(plane), initial=0)) for plane in planes.values())
    where = f"Image {record.index} of the test set, label {record.label}, radius {record.eps}"
    panels = [_plane(student, plane, record.margin, most) for student, plane in planes.items()]
    return panels, f"{where}; from 0 (dark) to {most:.3f} (bright)."


def _plane(student: str, plane: Plane, margin: float, most: float) -> Draw:
    def draw(axes: Axes) -> None:
        values, slack = np.array(plane.values), np.array(plane.slack)
        extent = (-margin, 1 + margin, -margin, 1 + margin)
        shown = axes.imshow(
            values, origin="lower", extent=extent, vmin=0, vmax=most, cmap=SCALE, interpolation="nearest"
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


def _inside(plane: Plane) -> NDArray[np.float64]:
    """The values in the region; those outside it do not set the scale."""
    values: NDArray[np.float64] = np.array(plane.values)[np.array(plane.slack) >= OUTSIDE]
    return values
