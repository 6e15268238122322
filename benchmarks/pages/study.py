"""The README's part on the recorded studies of `faithkd benchmark`: FAITHUB / EMPLB beside the paper's Table 2, and figures."""

from __future__ import annotations

import json

from benchmarks.measuring.record import ROOT
from benchmarks.pages.tables import Row, header, line, one, paragraph
from faithkd.study.paper import TITLES
from faithkd.study.plan import TIMEOUTS
from faithkd.text import duration

STUDIES = "docs/studies"
FIGURES = {
    "intervals": "Mean EMPLB and FAITHUB against the radius, here and in the paper",
    "plane-cut": "The difference of confidences on planes through an image",
}


def parts() -> dict[str, str]:
    """A part a data set whose study is recorded."""
    found = {}
    for dataset in TITLES:
        folder = f"{STUDIES}/{dataset}"
        path = ROOT / folder / "report.json"
        if path.exists():
            found[f"study {dataset}"] = study_part(json.loads(path.read_text()), folder)
    return found


def study_part(study: Row, folder: str) -> str:
    """Table 2 as ratios, the figures, and where the whole report is."""
    rows, radii, plan = study["bounds"], [radius["label"] for radius in study["radii"]], study["plan"]
    lines = [header(f"{TITLES[study['dataset']]}, FAITHUB / EMPLB", radii)]
    for student in plan["students"]:
        texts = []
        for eps in radii:
            cut, whole = (one(rows, network=student, eps=eps, region=region) for region in ("cut", "whole"))
            texts.append(f"{cut['ratio']:.2f} / {whole['ratio']:.2f} ({cut['paper']['ratio']:.2f})")
        lines.append(line(student, texts))
    compared = [row for row in rows if row["paper"] and row["ratio"]]
    below = sum(row["ratio"] < row["paper"]["ratio"] for row in compared)
    limits = ", ".join(f"{limit:g}" for limit in plan["timeout"])
    command = f"faithkd benchmark {study['dataset']}"
    if tuple(plan["timeout"]) != TIMEOUTS:
        command += "".join(f" --timeout {limit:g}" for limit in plan["timeout"])
    blocks = [
        paragraph(f"""`{command}` on {plan["images"]:,} images, regions *cut / not cut (the paper)*,
            FAITHUB by `complete` (limits of {limits} s an image), EMPLB by the paper's search: below the paper's ratio in {below} of
            {len(compared)} cells. {_time(study)} The whole report: [{folder}/report.md]({folder}/report.md)."""),
        "\n".join(lines),
    ]
    blocks += [f"![{alt}]({folder}/figures/{name}.png)" for name, alt in FIGURES.items()]
    return "\n\n".join(blocks)


def _time(study: Row) -> str:
    """How long it took, and on what."""
    machine = f"{study['environment']['cores']} CPU cores ({study['environment']['hardware']})"
    workers = " and ".join(str(count) for count in dict.fromkeys(session["workers"] for session in study["sessions"]))
    return f"It took {duration(study['seconds'])} on {machine} with {workers} worker(s) of one thread."
