"""A table as a terminal shows it."""

from __future__ import annotations

from rich import box
from rich.table import Table as RichTable

from faithkd.pages.tables import Table
from faithkd.text import printable


def terminal_table(table: Table, without: str = "", names_first: bool = False) -> RichTable:
    """The table for `rich`. without: a column to leave out. names_first: the first column holds names, which may be long."""
    shown = RichTable(box=box.SIMPLE_HEAD)
    kept = [place for place, (name, _) in enumerate(table.columns) if name != without]
    for place in kept:
        name = printable(table.columns[place][0]).replace(" (", "\n(")
        if names_first and place == 0:
            shown.add_column(name, overflow="fold", min_width=12)
        else:
            shown.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*(printable(row[place]) for place in kept))
    return shown
