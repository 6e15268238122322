"""What the generated parts of README.md and docs/results.md are made with: recorded rows, and Markdown tables."""

from __future__ import annotations

import json
import textwrap

from benchmarks.measuring.record import RESULTS, Record, Row, matches


def recorded(name: str) -> list[Row]:
    """The rows of a record; none where it has not been made."""
    return Record(name).rows


def one(rows: list[Row], **key: object) -> Row:
    """The only row with these values."""
    (row,) = (row for row in rows if matches(row, key))
    return row


def machine_line(name: str) -> str:
    """The machine of a record, in words."""
    machine = json.loads((RESULTS / f"{name}.json").read_text())["machine"]
    device = (
        machine["cuda"]
        or f"{machine['cores']} CPU cores ({machine['processor']}), {machine['threads']} thread(s) a run"
    )
    return f"Recorded on {device}, torch {machine['versions']['torch']}, {machine['date']}."


def paragraph(text: str) -> str:
    """Text in lines of a page's width."""
    return textwrap.fill(" ".join(text.split()), 150, break_long_words=False, break_on_hyphens=False)


def header(title: str, columns: list[str]) -> str:
    """The first two lines of a table."""
    return line(title, columns) + "\n" + "|---" * (len(columns) + 1) + "|"


def line(title: str, cells: list[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join([title, *cells]) + " |"
