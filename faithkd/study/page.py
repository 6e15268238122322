"""The report of a study as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from faithkd.pages.html import render
from faithkd.study.content import answers, facts, lead, sections, title
from faithkd.study.markdown import ALT

Figures = Mapping[str, Sequence[str]]
SMALL = frozenset({"intervals", "plane-cut", "plane-whole"})
"""Figures with a panel for each student, which stand four in a row where there is room."""


def page(found: dict[str, Any], figures: Figures, captions: dict[str, str]) -> bytes:
    """The page. figures: by name the SVG elements of each one's panels; captions: further words for some of them."""
    return render(
        "study.html",
        title=title(found),
        lead=lead(found),
        state=found["state"],
        missing=found["missing"],
        answers=answers(found),
        sections=sections(found),
        figures={name: [Markup(svg) for svg in drawn] for name, drawn in figures.items()},
        alternatives=ALT,
        captions=captions,
        small=SMALL,
        study_facts=facts(found),
    )
