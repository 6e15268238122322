"""Writing the report of a study: page, Markdown and JSON twins, figures; and several studies side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.pages.drawing import save
from faithkd.pages.html import html
from faithkd.pages.markdown import markdown
from faithkd.pages.studies.comparison import comparison
from faithkd.pages.studies.document import study_document
from faithkd.pages.studies.figures import study_figures
from faithkd.study.certified import certified
from faithkd.study.folder import FIGURES, MARKDOWN, PAGE, RESULTS, StudyFolder
from faithkd.study.results import results
from faithkd.text import folder_names


def write_study(path: str | Path) -> Path:
    """Write `report.html`, `report.md`, `report.json` and `figures/*.png` and `*.svg` of a study; returns the page's path.

    An unfinished study gets a report of what it has, which says what is missing. Raises `UserError` for one that has nothing.
    """
    folder = StudyFolder.open(path)
    runs = certified(folder)
    found = results(folder, runs)
    if not found["accuracy"] and not found["bounds"]:
        raise UserError(
            f"the study in {path} has found nothing yet; continue it with faithkd benchmark --resume --out {path}"
        )
    figures = study_figures(folder, runs, found)
    for figure in figures:
        save(figure, folder.path / FIGURES, vector=True)
    document = study_document(found, figures)
    twins = {
        RESULTS: (json.dumps(found, indent=1) + "\n").encode(),
        MARKDOWN: markdown(document).encode(),
        PAGE: html(document),
    }
    for name, content in twins.items():
        with atomic(folder.path / name) as file:
            file.write(content)
    return folder.path / PAGE


def compare_studies(paths: Sequence[str | Path], page: str | Path) -> None:
    """Write one page with the bounds of several studies of one data set side by side. Raises `UserError` for different data sets."""
    folders = [StudyFolder.open(path) for path in paths]
    datasets = sorted({folder.plan.dataset for folder in folders})
    if len(datasets) > 1:
        raise UserError(f"the studies cannot stand in one table: they are of {' and '.join(datasets)}")
    every = [results(folder, certified(folder)) for folder in folders]
    with atomic(page) as file:
        file.write(html(comparison(folder_names([folder.path for folder in folders]), every)))
