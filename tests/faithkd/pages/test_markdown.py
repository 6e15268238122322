"""Names and labels that come from elsewhere are shown by Markdown, not obeyed."""

import re

from faithkd.pages.content import Cell, Document, Section, Table
from faithkd.pages.markdown import markdown, neutral
from faithkd.pages.studies.document import study_document


def test_the_markdown_of_a_study_keeps_its_tables(evil_study):
    """Every row has the columns of its head, whatever stands in it, and no HTML, code or link."""
    evil = "a|b\nc|d `code` <b>bold</b> [text](https://example.org) \\| \x1b[31m\r\u2028"
    for network in evil_study["networks"].values():
        network["recipe"] = evil
    text = markdown(study_document(evil_study | {"missing": [evil]}))
    assert not re.search(r"<[a-z/]|(?<!\\)`|\x1b|\r|\u2028|[^\\]\]\(http", text)
    rows = [line for line in text.split("\n") if line.startswith("|") and "example" in line]
    assert len(rows) == 5
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3, row
    table = Table.of(("a|b", "c"), [(Cell("1|2\n3", "4`5", "[0.1, 0.2](x)"), "6")])
    (heading, rule, line) = markdown(Document("x", sections=(Section("", blocks=(table,)),))).splitlines()[2:]
    assert heading == "| a\\|b | c |" and rule == "|---|---|"
    assert line == "| 1\\|2\\\\n3 (4\\`5) [0.1, 0.2]\\(x) | 6 |"
    assert neutral("99.2 (99.1) [98.8, 99.0] ± 0.1") == "99.2 (99.1) [98.8, 99.0] ± 0.1"
    assert str(Cell("0.1", "0.2", "[1, 2]")) == "0.1 (0.2) [1, 2]"
