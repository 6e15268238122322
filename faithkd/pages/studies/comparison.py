"""Several studies of one data set side by side."""

from __future__ import annotations

from collections.abc import Sequence

from faithkd.pages.content import Cell, Document, Section, Table
from faithkd.pages.studies.tables import REGION_TITLES, ratio_cell, share_cell
from faithkd.study.plan import REGIONS
from faithkd.study.results import Row
from faithkd.text import plain, spread


def comparison(names: Sequence[str], every: Sequence[Row]) -> Document:
    """Where the studies differ, and their agreement and bounds. names: of the studies, whose `results` are `every`."""
    tables = [
        _differences(names, every),
        *(_side_by_side(names, every, region, kind) for region in REGIONS for kind in ("agreement", "bounds")),
    ]
    return Document(
        f"Studies of {every[0]['dataset']} side by side",
        note="Cells: measured, small the paper's, in square brackets the interval that is proved.",
        sections=tuple(Section("", blocks=(table,)) for table in tables if table.rows),
    )


def _side_by_side(names: Sequence[str], every: Sequence[Row], region: str, kind: str) -> Table:
    """A row for each student and radius, the studies' cells beside each other."""
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, found in zip(names, every, strict=True):
        for row in found[kind]:
            if row["region"] == region and row["eps"] != "0":
                made = {name: share_cell(row)} if kind == "agreement" else _bounds(name, row)
                cells.setdefault((row["network"], row["eps"]), {}).update(made)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [(*key, *(row.get(column, "-") for column in columns)) for key, row in cells.items()]
    what = "FAITHUB and its ratio to EMPLB" if kind == "bounds" else "agreement, %"
    return Table.of(("student", "radius", *columns), rows, f"{REGION_TITLES[region].capitalize()}: {what}")


def _bounds(name: str, row: Row) -> dict[str, Cell]:
    means = {
        f"{name}: {bound.upper()}": Cell(
            spread(row[bound]["mean"], None), spread(row["paper"][bound]["mean"], None) if row["paper"] else ""
        )
        for bound in ("emplb", "faithub")
    }
    return means | {f"{name}: ratio": ratio_cell(row)}


def _differences(names: Sequence[str], every: Sequence[Row]) -> Table:
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
    rows = [(key, *(plain(one.get(key)) for one in facts)) for key in keys]
    return Table.of(("", *names), rows, "Where they differ")
