"""The report of one run: its page and its figures, made from what the run folder holds."""

from __future__ import annotations

from pathlib import Path

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.report import figures
from faithkd.report.examples import examples, save_examples
from faithkd.report.page import run_page
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
        file.write(run_page(run))
    folder = run.path / FIGURES
    figures.png(folder / "histograms.png", figures.histograms(run.certificates))
    figures.png(folder / "intervals.png", figures.intervals(run.certificates))
    largest = max(line.eps for line in run.certificates)
    rows = [
        (title, examples(run, largest, by, 3)) for by, title in (("gap", "Largest gap"), ("emplb", "Largest EMPLB"))
    ]
    if all(found for _, found in rows):
        save_examples(folder / "examples.png", rows)
    return run.path / PAGE
