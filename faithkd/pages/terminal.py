"""A table as a terminal shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.table import Table as RichTable

from faithkd.pages.content import Table
from faithkd.text import printable

NAMES = ("network", "student", "run")
"""The columns of words, which may be broken into pieces of LEAST letters; all others have figures."""
LEAST = 12


def terminal_table(table: Table, width: int, without: str = "") -> RichTable:
    """A table for `rich`, but for the column `without`, on so many columns of text; nothing is cut off, however few they are.

    Where it is too wide, cells of several parts stand on several lines; where that is too wide, each row is written down the page.
    """
    kept = [place for place, (name, _) in enumerate(table.columns) if name != without]
    names = [printable(table.columns[place][0]) for place in kept]
    rows = [[printable(str(row[place])) for place in kept] for row in table.rows]
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
