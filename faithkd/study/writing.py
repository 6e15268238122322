"""Writing the report of a study: page, Markdown and JSON twins, figures; and two studies side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.pages.html import render
from faithkd.pages.tables import folder_names
from faithkd.report import figures as drawing
from faithkd.study import figures
from faithkd.study.certified import certified
from faithkd.study.content import REGION_TITLES, Cell, Table
from faithkd.study.folder import FIGURES, MARKDOWN, PAGE, RESULTS, StudyFolder
from faithkd.study.markdown import markdown
from faithkd.study.page import SMALL, page
from faithkd.study.plan import REGIONS
from faithkd.study.results import results

Found = dict[str, Any]


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
    panels = figures.panels(folder, runs, found)
    for name, draws in panels.items():
        drawing.png_and_svg(folder.path / FIGURES / name, draws, _columns(name), _panel(name))
    captions = {}
    if found["plane"]:
        captions = {f"plane-{region}": figures.plane_caption(folder, region) for region in REGIONS}
    drawn = {name: [drawing.svg(draw, _panel(name)) for draw in draws] for name, draws in panels.items()}
    twins = {
        RESULTS: (json.dumps(found, indent=1) + "\n").encode(),
        MARKDOWN: markdown(found).encode(),
        PAGE: page(found, drawn, captions),
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
    names = folder_names([folder.path for folder in folders])
    every = [results(folder, certified(folder)) for folder in folders]
    tables = [_differences(names, every)]
    for region in REGIONS:
        tables += [_side_by_side(names, every, region, kind) for kind in ("agreement", "bounds")]
    content = render(
        "studies.html", title=f"Studies of {datasets[0]} side by side", tables=[table for table in tables if table.rows]
    )
    with atomic(page) as file:
        file.write(content)


def _columns(name: str) -> int:
    return 4 if name in SMALL else 3


def _panel(name: str) -> tuple[float, float]:
    return drawing.SMALL_PANEL if name in SMALL else drawing.PANEL


def _side_by_side(names: list[str], every: list[Found], region: str, kind: str) -> Table:
    """A row for each student and radius, the studies' cells beside each other."""
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, found in zip(names, every, strict=True):
        for row in found[kind]:
            if row["region"] == region and row["eps"] != "0":
                cells.setdefault((row["network"], row["eps"]), {}).update(_compared(name, row, kind))
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = tuple(
        (Cell(network), Cell(eps), *(row.get(column, Cell("-")) for column in columns))
        for (network, eps), row in cells.items()
    )
    what = "FAITHUB and its ratio to EMPLB" if kind == "bounds" else "agreement, %"
    return Table(
        f"{REGION_TITLES[region][0].upper()}{REGION_TITLES[region][1:]}: {what}", ("student", "radius", *columns), rows
    )


def _compared(name: str, row: Found, kind: str) -> dict[str, Cell]:
    paper = row["paper"]
    if kind == "agreement":
        proved = (
            "" if row["certified"] is None else f"[{100 * row['certified'][0]:.1f}, {100 * row['certified'][1]:.1f}]"
        )
        return {name: Cell(f"{100 * row['every']:.1f}", "" if paper is None else f"{100 * paper:.1f}", proved)}
    return {
        f"{name}: EMPLB": Cell(f"{row['emplb']['mean']:.3f}", f"{paper['emplb']['mean']:.3f}" if paper else ""),
        f"{name}: FAITHUB": Cell(f"{row['faithub']['mean']:.3f}", f"{paper['faithub']['mean']:.3f}" if paper else ""),
        f"{name}: ratio": Cell(
            "-" if row["ratio"] is None else f"{row['ratio']:.2f}", f"{paper['ratio']:.2f}" if paper else ""
        ),
    }


def _differences(names: list[str], every: list[Found]) -> Table:
    """Where the studies differ in what they ask, in their networks and versions, and their time."""
    facts = [
        {
            **{name.replace("_", " "): value for name, value in found["plan"].items()},
            **{f"{name}'s file": network["sha256"][:16] for name, network in found["networks"].items()},
            "versions": found["environment"]["versions"],
            "hardware": found["environment"]["hardware"],
            "state": found["state"],
            "seconds": found["seconds"],
        }
        for found in every
    ]
    keys = [
        key
        for key in dict.fromkeys(key for one in facts for key in one)
        if len({repr(one.get(key)) for one in facts}) > 1
    ]
    rows = tuple((Cell(key), *(Cell(_plain(one.get(key))) for one in facts)) for key in keys)
    return Table("Where they differ", ("", *names), rows)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {entry}" for name, entry in value.items())
    return str(value)
