"""The tables of a run, as cells, and as what a terminal or a page shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from faithkd.certification.request import radius_label

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Summary = dict[str, Any]
NAMES = ("network", "student", "run")
"""The columns of words, which may be broken into pieces of LEAST letters; all others have figures."""
LEAST = 12


@dataclass(frozen=True)
class Table:
    """Columns with their explanation, and rows of cells that are ready to be shown."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]


def run_table(summaries: Sequence[Summary]) -> Table:
    """A row for each radius; with several runs, the rows of one radius stand together and name their run."""
    unit = summaries[0]["request"]["unit"]
    columns: list[tuple[str, str]] = [
        (f"radius ({unit})", f"in {unit} units"),
        ("images", ""),
        ("EMPLB", "largest difference of confidences that was found: mean ± standard deviation over the images"),
        ("FAITHUB", "proved upper bound of that difference: mean ± standard deviation over the images"),
        ("gap", "mean of FAITHUB - EMPLB"),
        (
            "agreement",
            "share of images with the same decision on the whole region: from the proved share to what no witness refutes",
        ),
        ("searched", "empirical agreement: share of images without a differing decision met by the search"),
        ("time", "seconds of computing"),
    ]
    if any("imitation" in radius for summary in summaries for radius in summary["radii"]):
        columns.insert(5, ("imitation", "images proved / undecided / refuted for the asked delta"))
    if len(summaries) > 1:
        columns.insert(1, ("run", ""))
    radii = sorted({radius["eps"] for summary in summaries for radius in summary["radii"]})
    rows = [
        _row(radius, [name for name, _ in columns], summary)
        for eps in radii
        for summary in summaries
        for radius in summary["radii"]
        if radius["eps"] == eps
    ]
    return Table(tuple(columns), tuple(rows))


def terminal_table(table: Table, width: int, without: str = "") -> RichTable:
    """A table for `rich`, but for the column `without`, on so many columns of text; nothing is cut off, however few they are.

    Where it is too wide, cells of several parts stand on several lines; where that is too wide, each row is written down the page.
    """
    from rich import box
    from rich.table import Table as RichTable

    kept = [place for place, (name, _) in enumerate(table.columns) if name != without]
    names = [table.columns[place][0] for place in kept]
    rows = [[row[place] for place in kept] for row in table.rows]
    for form, padding in ((str, 3), (_folded, 2)):
        heads = [name.replace(" (", "\n(") for name in names]
        cells = [[form(cell) for cell in row] for row in rows]
        widths = [_width(column, column[0] in NAMES) for column in zip(heads, *cells, strict=True)]
        if sum(widths) + padding * len(widths) + 2 <= width:
            shown = RichTable(box=box.SIMPLE_HEAD, collapse_padding=form is _folded)
            for head in heads:
                words = head in NAMES
                shown.add_column(head, justify="left" if words else "right", no_wrap=not words, overflow="fold")
            for row in cells:
                shown.add_row(*row)
            return shown
    shown = RichTable(box=box.SIMPLE, show_header=False)
    for _ in range(2):
        shown.add_column(overflow="fold")
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            shown.add_row(name, cell, end_section=name == names[-1])
    return shown


def _width(column: Sequence[str], words: bool) -> int:
    """The columns of text that a heading and its cells need; words may be broken."""
    longest = max(len(line) for cell in column for line in cell.split("\n"))
    return min(longest, LEAST) if words else longest


def _folded(cell: str) -> str:
    """`0.099 ± 0.183` and its like on two lines or three."""
    return re.sub(r" (?=± |to |/ |\(|s$)", "\n", cell)


def html_table(table: Table) -> str:
    """The same for a page."""
    head = "".join(f'<th scope="col" title="{escape(note)}">{escape(name)}</th>' for name, note in table.columns)
    names = [escape(name, quote=True) for name, _ in table.columns]
    body = "".join(
        "<tr>"
        + "".join(f'<td data-name="{name}">{escape(cell)}</td>' for name, cell in zip(names, row, strict=True))
        + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def title_line(summary: Summary) -> str:
    """What the table is about."""
    request, images = summary["request"], max(radius["images"] for radius in summary["radii"])
    pair = f"{short(request['student'])} against {short(request['teacher'])}"
    return f"{pair} on {images} images of {short(request['data'])} by {request['method']} (mean ± std)"


def short(name: str) -> str:
    """A network's or data set's name, of a path only the end."""
    return PurePath(name).name


def proof_line(summary: Summary) -> str:
    """What is proved and what is only searched, in one line."""
    kinds = {kind for radius in summary["radii"] for kind in radius["proof"]}
    strength = "holds for every input of the region, rounding included"
    if "solver" in kinds:
        strength = "holds for every input of the region, where its proof is marked solver within the solver's tolerance"
    return (
        f"Proved: FAITHUB {strength}, and each EMPLB is attained by a stored input. Only searched: that nothing larger than EMPLB "
        'exists, and the empirical agreement in the column "searched".'
    )


def _row(radius: dict[str, Any], columns: list[str], summary: Summary) -> tuple[str, ...]:
    agreement, images = radius["agreement"], radius["images"]
    cells = {
        "run": summary.get("name", ""),
        "images": str(images),
        "EMPLB": _spread(radius["emplb"]),
        "FAITHUB": _spread(radius["faithub"]),
        "gap": f"{radius['gap']['mean']:.4f}",
        "imitation": " / ".join(str(count) for count in radius.get("imitation", {}).values()),
        "agreement": f"{_percent(agreement['certified'] / images)} to {_percent(1 - agreement['refuted'] / images)} %",
        "searched": f"{_percent(radius['empirical_agreement'])} %",
        "time": f"{radius['seconds']:.1f} s",
    }
    return tuple(cells.get(name, radius_label(radius["eps"])) for name in columns)


def _spread(values: dict[str, float]) -> str:
    return f"{values['mean']:.3f} ± {values['std']:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
