"""The figures of a run: histograms of EMPLB and FAITHUB, and the interval of every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from faithkd.pages.content import Draw, Figure
from faithkd.pages.drawing import COLOURS
from faithkd.runs.records import Certificate
from faithkd.runs.request import radius_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 32
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Radius:
    """The images' intervals at one radius, each array `(n,)`; root: FAITHUB before any branching, None in runs that did not keep it."""

    title: str
    emplb: Values
    faithub: Values
    root: Values | None


def histograms(certificates: Sequence[Certificate]) -> Figure:
    """For each radius the histograms of EMPLB and FAITHUB (Figures 2 and 3 of Lamb et al. 2023), all over one range."""
    radii = by_radius(certificates)
    most = max(float(radius.faithub.max()) for radius in radii)
    edges = np.linspace(0.0, max(most, 1e-3) * 1.0001, BINS + 1)
    return Figure("histograms", tuple(_histogram(radius, edges) for radius in radii))


def intervals(certificates: Sequence[Certificate]) -> Figure:
    """For each radius the interval [EMPLB, FAITHUB] of every image, the narrowest first; above it FAITHUB before branching."""
    radii = by_radius(certificates)
    most = max(float((radius.faithub if radius.root is None else radius.root).max()) for radius in radii)
    return Figure("intervals", tuple(_intervals(radius, max(most, 1e-3) * 1.04) for radius in radii))


def by_radius(certificates: Sequence[Certificate]) -> list[Radius]:
    """The intervals at each radius, in the order of the certificates."""
    labels = dict.fromkeys((line.eps, line.unit) for line in certificates)
    groups = []
    for eps, unit in labels:
        lines = [line for line in certificates if line.eps == eps]
        emplb, faithub = (np.array([getattr(line, name) for line in lines]) for name in ("emplb", "faithub"))
        roots = [line.root for line in lines if line.root is not UNSET]
        root = np.array(roots) if len(roots) == len(lines) else None
        groups.append(Radius(f"radius {radius_label(eps, unit)}", emplb, faithub, root))
    return groups


def _histogram(radius: Radius, edges: Values) -> Draw:
    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for name, what in (("faithub", "FAITHUB, proved"), ("emplb", "EMPLB, found")):
            values, colour = getattr(radius, name), COLOURS[name]
            label = f"{what}: mean {values.mean():.3f}"
            axes.hist(values, edges.tolist(), histtype="stepfilled", color=colour, alpha=0.28, linewidth=0)
            axes.hist(values, edges.tolist(), histtype="step", color=colour, linewidth=1.1, label=label)
            axes.axvline(values.mean(), color=colour, linewidth=1, linestyle=(0, (3, 2)))
        axes.set(title=radius.title, xlabel="difference of confidences", ylabel="images", xlim=(0, 1.02 * edges[-1]))
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
        axes.legend(loc="best", handlelength=1.2)

    return draw


def _intervals(radius: Radius, most: float) -> Draw:
    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        order = np.argsort(radius.faithub - radius.emplb, kind="stable")
        low, high, place = radius.emplb[order], radius.faithub[order], np.arange(1, len(order) + 1)
        bounds = [("faithub", "FAITHUB", high), ("emplb", "EMPLB", low)]
        if radius.root is not None:
            bounds.insert(0, ("soft", "before branching", radius.root[order]))
        # One broken line instead of one line an image keeps the page small.
        gaps = np.full(len(order), np.nan)
        axes.plot(
            np.stack((place, place, gaps), 1).ravel(), np.stack((low, high, gaps), 1).ravel(),
            color=COLOURS["soft"], linewidth=min(1.6, max(0.25, 90 / len(order))), alpha=0.55, solid_capstyle="butt",
        )  # fmt: skip
        size = min(3.4, max(1.5, 320 / len(order)))
        for name, label, values in bounds:
            axes.plot(place, values, "o", color=COLOURS[name], markersize=size, markeredgewidth=0, label=label)
        axes.set(
            title=radius.title,
            xlabel="images, narrowest interval first",
            ylabel="difference of confidences",
            ylim=(0, most),
        )
        axes.set_xlim(0, len(order) + 1)
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.legend(loc="best", handlelength=0.8, markerscale=3.4 / size)

    return draw
