"""The report of a study as Markdown."""

from __future__ import annotations

import re
from typing import Any

from faithkd.study.content import Cell, Table, answers, facts, lead, sections, title
from faithkd.text import printable

ALT = {
    "intervals": "Mean EMPLB and FAITHUB against the radius, here and in the paper",
    "steps": "Mean EMPLB against the number of steps",
    "plane-cut": "The difference of confidences on planes, regions cut",
    "plane-whole": "The difference of confidences on planes, regions not cut",
    "emplb-cut": "Histograms of EMPLB, regions cut",
    "faithub-cut": "Histograms of FAITHUB, regions cut",
    "emplb-whole": "Histograms of EMPLB, regions not cut",
    "faithub-whole": "Histograms of FAITHUB, regions not cut",
}
"""What each figure shows."""


def markdown(found: dict[str, Any]) -> str:
    """The whole text; figures are PNG files in the folder `figures`. A cell reads `measured (paper) [proved]`."""
    lines = [f"# {title(found)}", "", neutral(lead(found)), ""]
    lines += [
        f"- {neutral(answer.question)}: **{neutral(answer.value)}** ({neutral(answer.note)})"
        for answer in answers(found)
    ]
    if found["missing"]:
        lines += [
            "",
            f"**This study is {neutral(found['state'])}.** It misses:",
            "",
            *(f"- {neutral(what)}" for what in found["missing"]),
        ]
    for section in sections(found):
        lines += ["", f"## {section.title}"]
        for paragraph in section.paragraphs:
            lines += ["", paragraph]
        for table in section.tables:
            lines += ["", f"**{table.title}**", "", *table_lines(table)]
        for figure in section.figures:
            lines += ["", f"![{ALT[figure]}](figures/{figure}.png)"]
        if section.anchor == "run":
            lines += [
                "",
                "| | |",
                "|---|---|",
                *(f"| {neutral(name)} | {neutral(value)} |" for name, value in facts(found)),
            ]
    return "\n".join(lines) + "\n"


def table_lines(table: Table) -> list[str]:
    """A table."""
    return [
        "| " + " | ".join(map(neutral, table.columns)) + " |",
        "|" + "---|" * len(table.columns),
        *("| " + " | ".join(cell_text(cell) for cell in row) + " |" for row in table.rows),
    ]


def cell_text(cell: Cell) -> str:
    """`measured (paper) [proved]`."""
    parts = (cell.value, f"({cell.paper})" if cell.paper else "", cell.proved)
    return neutral(" ".join(part for part in parts if part))


def neutral(text: str) -> str:
    """Text that stands in a cell or a line as it is: no end of a cell or line, no code, no HTML, no link."""
    escaped = re.sub(r"[\\|`]|(?<=\])\(", r"\\\g<0>", printable(text))
    return escaped.replace("<", "&lt;")
