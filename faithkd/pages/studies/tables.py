"""The tables of a study: each cell beside what the paper prints and what is proved."""

from __future__ import annotations

from faithkd.pages.content import Cell, Table
from faithkd.study.plan import REGIONS, STEPS
from faithkd.study.results import Row
from faithkd.text import percent, spread

REGION_TITLES = {"cut": "regions cut with the pixel range", "whole": "regions not cut"}
REGION_WORDS = {"cut": "cut", "whole": "not cut"}


def share_tables(found: Row, kind: str) -> list[Table]:
    """`accuracy` or `agreement`: a table for each kind of region, networks down, radii across."""
    labels = ["0", *(radius["label"] for radius in found["radii"])]
    tables = []
    for region in REGIONS:
        by_network: dict[str, dict[str, Row]] = {}
        for row in found[kind]:
            if row["region"] == region:
                by_network.setdefault(row["network"], {})[row["eps"]] = row
        rows = [(Cell(name), *(share_cell(cells[label]) for label in labels)) for name, cells in by_network.items()]
        tables.append(Table.of(("network", *labels), rows, f"{REGION_TITLES[region].capitalize()}, %"))
    return [table for table in tables if table.rows]


def bounds_tables(found: Row) -> list[Table]:
    """The paper's Table 2, for each kind of region."""
    branched = any(row["root"] for row in found["bounds"])
    columns = ["student", "radius", "EMPLB", "FAITHUB", "FAITHUB / EMPLB", "best EMPLB"]
    columns += ["before branching"] if branched else []
    columns += ["closed", "s an image"]
    tables = [
        Table.of(
            columns,
            [_bounds_row(row, branched) for row in found["bounds"] if row["region"] == region],
            REGION_TITLES[region].capitalize(),
        )
        for region in REGIONS
    ]
    return [table for table in tables if table.rows]


def steps_tables(found: Row) -> list[Table]:
    """EMPLB against the number of steps: means, and single images here and in the paper's Table 3."""
    steps, columns = found["steps"], [str(number) for number in STEPS]
    means = [{**row, "region": REGION_WORDS[row["region"]]} for row in steps["means"]]
    paper = [
        {**row, "network": row["student"], "image": row["example"], "emplb": row["value"]} for row in steps["paper"]
    ]
    at = f"radius {steps['eps']}"
    tables = [
        Table.of(
            ("student", "regions", *columns),
            _by_steps(means, ("network", "region")),
            f"Mean EMPLB over the images, {at}, by steps of the search",
        ),
        Table.of(
            ("student", "image", *columns),
            _by_steps(steps["examples"], ("network", "image")),
            f"Three images, {at}, cut regions",
        ),
    ]
    if paper and (means or steps["examples"]):
        title = f"The paper: three images that it does not identify, radius {paper[0]['eps']}"
        tables.append(Table.of(("student", "image", *columns), _by_steps(paper, ("network", "image")), title))
    return [table for table in tables if table.rows]


def share_cell(row: Row) -> Cell:
    """A share of the images in percent; at the images themselves nothing is proved beyond it."""
    certified = None if row["eps"] == "0" else row["certified"]
    proved = f"[{', '.join(map(percent, certified))}]" if certified else ""
    return Cell(percent(row["every"]), "" if row["paper"] is None else percent(row["paper"]), proved)


def ratio_cell(row: Row) -> Cell:
    """FAITHUB / EMPLB."""
    paper = row["paper"]
    return Cell("-" if row["ratio"] is None else f"{row['ratio']:.2f}", f"{paper['ratio']:.2f}" if paper else "")


def _bounds_row(row: Row, branched: bool) -> tuple[str | Cell, ...]:
    paper = row["paper"]
    root = [f"{row['root']['mean']:.3f}" if row["root"] else "-"] if branched else []
    return (
        row["network"],
        row["eps"],
        *(Cell(spread(**row[name]), spread(**paper[name]) if paper else "") for name in ("emplb", "faithub")),
        ratio_cell(row),
        f"{row['emplb_best']['mean']:.3f}",
        *root,
        f"{percent(row['closed'], 0)} %",
        f"{row['seconds'] / row['images']:.2f}",
    )


def _by_steps(rows: list[Row], names: tuple[str, str]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, ...], dict[int, float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), {})[row["steps"]] = row["emplb"]
    return [(*group, *(f"{values[n]:.4f}" if n in values else "-" for n in STEPS)) for group, values in groups.items()]
