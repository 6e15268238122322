"""The figures of a run: histograms of EMPLB and FAITHUB, and the interval of every image. As SVG for the page, as PNG in files."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.runs.records import Certificate
from faithkd.runs.request import radius_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision can tell apart; the page maps each to a variable of its theme.
COLOURS = {"ink": "#222426", "soft": "#6b7075", "line": "#d5d8dc", "emplb": "#009e73", "faithub": "#b8548e",
           "teacher": "#0072b2", "student": "#e08a00",
           "sd": "#7a7fb8", "ard": "#d55e00", "rslad": "#2b8cc4", "fd": "#1d8f62"}  # fmt: skip
STYLE: Any = {
    "font.family": "sans-serif", "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 7.5, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7, "axes.edgecolor": COLOURS["soft"],
    "axes.labelcolor": COLOURS["ink"], "text.color": COLOURS["ink"], "xtick.color": COLOURS["soft"], "ytick.color": COLOURS["soft"],
    "axes.grid": True, "axes.axisbelow": True, "grid.color": COLOURS["line"], "grid.linewidth": 0.5, "svg.fonttype": "none",
    "svg.hashsalt": "faithkd", "savefig.dpi": 200,
}  # fmt: skip
BINS = 32
PANEL, SMALL_PANEL = (3.7, 2.35), (2.75, 2.2)
"""Inches; the letters are of one size, so a small panel suits a narrow place."""

Values = NDArray[np.float64]
Draw = Callable[["Axes"], None]


@dataclass(frozen=True)
class Radius:
    """The images' intervals at one radius, each array `(n,)`; root: FAITHUB before any branching, None in runs that did not keep it."""

    title: str
    emplb: Values
    faithub: Values
    root: Values | None


def histograms(certificates: Sequence[Certificate]) -> list[Draw]:
    """For each radius the histograms of EMPLB and FAITHUB (Figures 2 and 3 of Lamb et al. 2023), all over one range."""
    radii = by_radius(certificates)
    most = max(float(radius.faithub.max()) for radius in radii)
    edges = np.linspace(0.0, max(most, 1e-3) * 1.0001, BINS + 1)
    return [_histogram(radius, edges) for radius in radii]


def intervals(certificates: Sequence[Certificate]) -> list[Draw]:
    """For each radius the interval [EMPLB, FAITHUB] of every image, the narrowest first; above it FAITHUB before branching."""
    radii = by_radius(certificates)
    most = max(float((radius.faithub if radius.root is None else radius.root).max()) for radius in radii)
    return [_intervals(radius, max(most, 1e-3) * 1.04) for radius in radii]


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


def svg(draw: Draw, panel: tuple[float, float] = PANEL) -> str:
    """One figure as an SVG element that follows the page's theme and font."""
    buffer = io.StringIO()
    with styled():
        figure = _figure([draw], 1, panel)
        figure.savefig(buffer, format="svg", backend="svg", transparent=True, metadata={"Date": None, "Creator": None})
    head, _, rest = buffer.getvalue().partition("<svg")[2].partition(">")
    text = "<svg" + re.sub(r'\s(width|height)="[^"]*"', "", head) + ">" + rest
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r"<metadata>.*?</metadata>|font-family: [^;\"]*; ?", "", text, flags=re.DOTALL)


def png(path: Path, draws: Sequence[Draw]) -> None:
    """All figures beside each other, at most three in a row, in one PNG file."""
    with styled():
        save_png(_figure(draws, min(3, len(draws)), PANEL), path)


def png_and_svg(path: Path, draws: Sequence[Draw], columns: int, panel: tuple[float, float] = PANEL) -> None:
    """All figures beside each other, `columns` in a row, as the files `path`.png and `path`.svg."""
    with styled():
        figure = _figure(draws, min(columns, len(draws)), panel)
        save_png(figure, path.with_suffix(".png"))
        figure.set_layout_engine("none")  # What is placed stays where it is.
        with atomic(path.with_suffix(".svg")) as file:
            figure.savefig(
                file, format="svg", backend="svg", facecolor="white", metadata={"Date": None, "Creator": None}
            )


@contextmanager
def styled() -> Iterator[None]:
    """Where figures are made and saved: matplotlib's defaults and the project's style, and the caller's own settings afterwards."""
    matplotlib = _matplotlib()
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context({**defaults, **STYLE}):
        yield


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of so many inches, on a canvas of its own: no backend that the caller has chosen is asked. Inside `styled`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all."""
    with atomic(path) as file:
        figure.savefig(file, format="png", backend="agg", facecolor="white")


def _matplotlib() -> Any:
    """matplotlib, whatever backend MPLBACKEND names: its import fails for one that is not installed beside it, as in a notebook's shell.

    A backend that is there stays the caller's own, for figures that the caller draws.
    """
    first = "matplotlib" not in sys.modules
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    except (ValueError, OSError) as error:
        raise UserError(
            f"matplotlib, which draws the figures, cannot be loaded here ({error}); mend its settings file, or give it a folder that "
            "it may write to in MPLCONFIGDIR"
        ) from error
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if first and named is not None:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = named
    return matplotlib


def _figure(draws: Sequence[Draw], columns: int, panel: tuple[float, float]) -> Figure:
    rows = -(-len(draws) // columns)
    figure = new_figure((panel[0] * columns, panel[1] * rows))
    for place, draw in enumerate(draws, start=1):
        draw(figure.add_subplot(rows, columns, place))
    return figure


def _histogram(radius: Radius, edges: Values) -> Draw:
    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for name, label, values in (
            ("faithub", "FAITHUB, proved", radius.faithub),
            ("emplb", "EMPLB, found", radius.emplb),
        ):
            colour = COLOURS[name]
            axes.hist(values, edges.tolist(), histtype="stepfilled", color=colour, alpha=0.28, linewidth=0)
            axes.hist(
                values,
                edges.tolist(),
                histtype="step",
                color=colour,
                linewidth=1.1,
                label=f"{label}: mean {values.mean():.3f}",
            )
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
