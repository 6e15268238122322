"""The page of one run: what was asked, the intervals as a table and as figures, and the images that deserve a look."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup
from msgspec import UNSET, structs

from faithkd.pages.html import render
from faithkd.pages.tables import short
from faithkd.report import figures
from faithkd.report.examples import Example, examples, pictures
from faithkd.report.tables import proof_line, run_table
from faithkd.runs.reading import Run
from faithkd.runs.records import Radius, Summary
from faithkd.runs.request import radius_label

SHOWN = 3
"""Images of each kind that the page shows for a radius."""


def run_page(run: Run) -> bytes:
    """The page of one run, with no reference to anything outside."""
    summary, request = run.summary, run.summary.request
    cut = "cut with the range of valid pixels." if request.clip else "left uncut."
    return render(
        "run.html",
        title=f"How faithfully does {short(request.student)} imitate {short(request.teacher)}?",
        asked=f"On {summary.radii[0].images} test images of {short(str(request.data))}, bounded by {request.method}, every region {cut}",
        state=summary.state,
        radii=[_radius(run, radius) for radius in summary.radii],
        intervals=run_table([summary]),
        proof=proof_line([summary]),
        histograms=[Markup(figures.svg(draw)) for draw in figures.histograms(run.certificates)],
        images=[Markup(figures.svg(draw)) for draw in figures.intervals(run.certificates)],
        branched=summary.radii[0].root is not UNSET,
        run_facts=_facts(summary),
    )


def _radius(run: Run, radius: Radius) -> dict[str, Any]:
    """One of the numbers at the top, and the images to look at."""
    return {
        "label": radius_label(radius.eps, radius.unit),
        "emplb": radius.emplb.mean,
        "faithub": radius.faithub.mean,
        "by_gap": [_card(example) for example in examples(run, radius.eps, "gap", SHOWN)],
        "by_emplb": [_card(example) for example in examples(run, radius.eps, "emplb", SHOWN)],
    }


def _card(example: Example) -> dict[str, Any]:
    """An image with its certificate, its pictures and the confidences at the image and at the witness."""
    line = example.certificate
    return {
        "line": line,
        "radius": radius_label(line.eps, line.unit),
        "pictures": list(zip(("image", "witness", "difference"), pictures(example), strict=True)),
        "at": [
            {"caption": caption, "teacher": example.teacher[k].tolist(), "student": example.student[k].tolist()}
            for k, caption in enumerate(("at the image", "at the witness"))
        ],
    }


def _facts(summary: Summary) -> list[tuple[str, str]]:
    environment = summary.environment
    asked = {name: value for name, value in summary.request.to_dict().items() if value not in (None, [], False)}
    pairs = [(name.replace("_", " "), _plain(value)) for name, value in asked.items()]
    pairs += [(f"SHA-256 of {name}", value) for name, value in structs.asdict(summary.checksums).items()]
    pairs += [
        ("hardware", f"{environment['hardware']}, {environment['cores']} cores, {environment['system']}"),
        ("code", str(environment.get("code", "not recorded"))),
        ("versions", ", ".join(f"{name} {version}" for name, version in environment["versions"].items())),
        ("time", f"{summary.seconds:.1f} s of bounding, {summary.wall_seconds:.1f} s in all"),
    ]
    return pairs


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value[:20])) + (f", ... ({len(value)})" if len(value) > 20 else "")
    return value if isinstance(value, str) else json.dumps(value)
