"""The report of one run, and several runs side by side, made from what run folders hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.pages.drawing import save
from faithkd.pages.html import html
from faithkd.pages.runs.comparison import comparison
from faithkd.pages.runs.document import run_document
from faithkd.pages.runs.examples import examples, save_examples
from faithkd.pages.runs.figures import histograms, intervals
from faithkd.runs.reading import read_run

PAGE, FIGURES = "report.html", "figures"


def write_report(path: str | Path) -> Path:
    """Write `report.html` and `figures/*.png` of the run in a folder; returns the page's path. Raises `UserError` for an empty run."""
    run = read_run(path)
    if not run.certificates:
        raise UserError(
            f"the run in {path} holds no certificate yet; continue it with faithkd certify --resume --out {path}"
        )
    with atomic(run.path / PAGE) as file:
        file.write(html(run_document(run)))
    folder = run.path / FIGURES
    for figure in (histograms(run.certificates), intervals(run.certificates)):
        save(figure, folder)
    largest = max(line.eps for line in run.certificates)
    rows = [(title, examples(run, largest, by)) for by, title in (("gap", "Largest gap"), ("emplb", "Largest EMPLB"))]
    save_examples(folder / "examples.png", rows)
    return run.path / PAGE


def compare(paths: Sequence[str | Path], page: str | Path) -> None:
    """Write one page with the runs side by side. Raises `UserError` when their radii have different units."""
    with atomic(page) as file:
        file.write(html(comparison([read_run(path) for path in paths])))
