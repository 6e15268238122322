"""The page of one run: what was asked, the intervals as a table and as figures, and the images that deserve a look."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, structs

from faithkd.pages.content import Answer, Answers, Bars, Card, Document, Facts, Gallery, Interval, Notice, Section
from faithkd.pages.runs.examples import Example, examples, pictures
from faithkd.pages.runs.figures import histograms, intervals
from faithkd.pages.runs.tables import run_table
from faithkd.runs.environment import machine
from faithkd.runs.reading import Run
from faithkd.runs.records import Radius, Summary
from faithkd.runs.request import radius_label
from faithkd.text import plain, short


def run_document(run: Run) -> Document:
    """The page of one run."""
    summary, request = run.summary, run.summary.request
    cut = "cut with the range of valid pixels." if request.clip else "left uncut."
    state = f"This run is {summary.state}: the page shows what it has proved so far."
    grey = " The grey points are FAITHUB before branching." if summary.radii[0].root is not UNSET else ""
    return Document(
        f"How faithfully does {short(request.student)} imitate {short(request.teacher)}?",
        f"On {summary.radii[0].images} test images of {short(str(request.data))}, bounded by {request.method}, every region {cut} The "
        "largest difference between the two networks' confidences that an input within the radius can cause, averaged over the "
        "images, lies between:",
        head=(Answers(tuple(map(_answer, summary.radii))), *([] if summary.state == "complete" else [Notice(state)])),
        sections=(
            Section("The intervals", blocks=(run_table([summary]),)),
            Section(
                "Histograms",
                ("The largest difference of confidences on each image's region: as found (EMPLB) and as proved (FAITHUB). The truth "
                 "lies between the two.",),
                (histograms(run.certificates),),
            ),
            Section(
                "Every image",
                (f"One vertical line an image, from EMPLB up to FAITHUB, the narrowest first.{grey}",),
                (intervals(run.certificates),),
            ),
            *(_images(run, radius) for radius in summary.radii),
            Section("The run", blocks=(Facts(_facts(summary)),)),
        ),
    )  # fmt: skip


def _answer(radius: Radius) -> Answer:
    means = Interval(f"{radius.emplb.mean:.3f}", f"{radius.faithub.mean:.3f}", "and")
    return Answer(f"within {radius_label(radius.eps, radius.unit)}", means, "mean EMPLB, found; mean FAITHUB, proved")


def _images(run: Run, radius: Radius) -> Section:
    titles = (
        ("gap", "Largest gap: where the proof leaves most open"),
        ("emplb", "Largest EMPLB: where the pair differs most"),
    )
    gallery = Gallery(tuple((title, tuple(map(_card, examples(run, radius.eps, by)))) for by, title in titles))
    return Section(f"Images to look at, radius {radius_label(radius.eps, radius.unit)}", blocks=(gallery,))


def _card(example: Example) -> Card:
    line = example.certificate
    above = "teacher above student" if line.sign > 0 else "student above teacher"
    return Card(
        line.index,
        line.label,
        radius_label(line.eps, line.unit),
        Interval(f"{line.emplb:.3f}", f"{line.faithub:.3f}", "to"),
        pictures=pictures(example),
        bars=tuple(
            Bars(caption, tuple(example.teacher[k].tolist()), tuple(example.student[k].tolist()))
            for k, caption in enumerate(("at the image", "at the witness"))
        ),
        note=f"Bound attained at class {line.worst_class}, {above}. Same decision: {line.agreement}. Ended: {line.status}.",
    )


def _facts(summary: Summary) -> tuple[tuple[str, str], ...]:
    environment = summary.environment
    asked = {name: value for name, value in summary.request.to_dict().items() if value not in (None, [], False)}
    return (
        *((name.replace("_", " "), _asked(value)) for name, value in asked.items()),
        *((f"SHA-256 of {name}", value) for name, value in structs.asdict(summary.checksums).items()),
        ("hardware", machine(environment)),
        ("code", str(environment.get("code", "not recorded"))),
        ("versions", plain(environment["versions"])),
        ("time", f"{summary.seconds:.1f} s of bounding, {summary.wall_seconds:.1f} s in all"),
    )


def _asked(value: Any) -> str:
    """A value of the request; of a long list only the first entries."""
    if isinstance(value, list) and len(value) > 20:
        return f"{plain(value[:20])}, ... ({len(value)})"
    return "true" if value is True else plain(value)
