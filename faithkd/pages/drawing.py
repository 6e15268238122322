"""How figures are drawn: the project's style, whatever the caller's; as SVG elements for a page, as PNG and SVG in files."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.pages.content import Draw, Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

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
PANEL, SMALL_PANEL = (3.7, 2.35), (2.75, 2.2)
"""Inches; the letters are of one size, so a small panel suits a narrow place."""


def svg(panel: Draw, small: bool = False) -> Markup:
    """One panel as an SVG element that follows the page's theme and font."""
    buffer = io.StringIO()
    with styled():
        _save_svg(_drawn(Figure("", (panel,), small=small)), buffer, transparent=True)
    head, _, rest = buffer.getvalue().partition("<svg")[2].partition(">")
    text = "<svg" + re.sub(r'\s(width|height)="[^"]*"', "", head) + ">" + rest
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return Markup(re.sub(r"<metadata>.*?</metadata>|font-family: [^;\"]*; ?", "", text, flags=re.DOTALL))


def save(figure: Figure, folder: Path, vector: bool = False) -> None:
    """All panels beside each other in the file `NAME.png`. vector: in `NAME.svg`, too."""
    with styled():
        drawn = _drawn(figure)
        save_png(drawn, folder / f"{figure.name}.png")
        if vector:
            drawn.set_layout_engine("none")  # What is placed stays where it is.
            with atomic(folder / f"{figure.name}.svg") as file:
                _save_svg(drawn, file, facecolor="white")


@contextmanager
def styled() -> Iterator[None]:
    """Where figures are made and saved: matplotlib's defaults and the project's style, and the caller's own settings afterwards."""
    matplotlib = _matplotlib()
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context({**defaults, **STYLE}):
        yield


def new_figure(size: tuple[float, float]) -> MatplotlibFigure:
    """An empty figure of so many inches, on a canvas of its own: no backend that the caller has chosen is asked. Inside `styled`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: MatplotlibFigure, path: Path) -> None:
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


def _drawn(figure: Figure) -> MatplotlibFigure:
    columns, (width, height) = min(4 if figure.small else 3, len(figure.panels)), SMALL_PANEL if figure.small else PANEL
    rows = -(-len(figure.panels) // columns)
    drawn = new_figure((width * columns, height * rows))
    for place, panel in enumerate(figure.panels, start=1):
        panel(drawn.add_subplot(rows, columns, place))
    return drawn


def _save_svg(figure: MatplotlibFigure, file: Any, **look: Any) -> None:
    figure.savefig(file, format="svg", backend="svg", metadata={"Date": None, "Creator": None}, **look)
