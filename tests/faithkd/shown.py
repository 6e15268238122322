"""Reading pages and Markdown as a reader would: text, tables, addresses."""

from html.parser import HTMLParser
from pathlib import Path

EVIL = (
    "<script>alert(1)</script><img src=x onerror='alert(1)'>\"'&amp;{{ 7 * 7 }}{% raw %}\x1b[31m\x07\u202e[red]x[/red]"
)
"""A name that would be obeyed by who does not show it as it is."""
VOID = {"meta", "img", "br", "link", "input", "hr", "path", "rect", "use"}


class Page(HTMLParser):
    """Checks that tags are closed in order; collects cells, rows of cells, addresses and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.cells: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(path.read_text())
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "td" in self.open:
            self.cells[-1] += data
        if self.open[-1:] != ["style"]:
            self.text += data


def markdown_rows(text: str) -> list[list[str]]:
    """The rows of all tables of a Markdown text, without the rules below their heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if any(cell.strip("-") for cell in row)]
