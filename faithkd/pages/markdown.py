"""A document as Markdown; its figures are PNG files in the folder `figures`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from faithkd.pages.content import Answers, Card, Document, Facts, Figure, Gallery, Notice, Table
from faithkd.text import printable


def markdown(document: Document) -> str:
    """The whole text. A cell reads `measured (paper) [proved]`."""
    texts = [f"# {neutral(document.title)}", neutral(document.lead), neutral(document.note)]
    texts += [_block(block) for block in document.head]
    for section in document.sections:
        texts += [f"## {neutral(section.title)}" if section.title else "", *map(neutral, section.paragraphs)]
        texts += [_block(block) for block in section.blocks]
    return _joined(*texts) + "\n"


def neutral(text: str) -> str:
    """Text that stands in a cell or a line as it is: no end of a cell or line, no code, no HTML, no link."""
    escaped = re.sub(r"[\\|`]|(?<=\])\(", r"\\\g<0>", printable(text))
    return escaped.replace("<", "&lt;")


def _block(block: Any) -> str:
    return WRITE[type(block)](block)


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(neutral(str(cell)) for cell in cells)} |"


def _table(table: Table) -> str:
    rows = [_row(name for name, _ in table.columns), "|" + "---|" * len(table.columns), *map(_row, table.rows)]
    title = f"**{neutral(table.title)}**" if table.title else ""
    return _joined(title, "\n".join(rows), neutral(table.note))


def _figure(figure: Figure) -> str:
    return f"![{neutral(figure.title or figure.name)}](figures/{figure.name}.png)"


def _facts(facts: Facts) -> str:
    return "\n".join(["| | |", "|---|---|", *map(_row, facts.pairs)])


def _notice(notice: Notice) -> str:
    return _joined(f"**{neutral(notice.text)}** {neutral(notice.more)}".rstrip(), _list(map(neutral, notice.items)))


def _answers(answers: Answers) -> str:
    return _list(
        f"{neutral(one.question)}: **{neutral(str(one.value))}** ({neutral(one.note)})" for one in answers.answers
    )


def _gallery(gallery: Gallery) -> str:
    return _joined(*(_group(title, cards) for title, cards in gallery.groups))


def _group(title: str, cards: Iterable[Card]) -> str:
    lines = _list(neutral(f"image {card.index}: {card.interval} ({card.note})") for card in cards)
    return _joined(f"**{neutral(title)}**", lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _joined(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


WRITE: dict[type, Callable[[Any], str]] = {
    Answers: _answers, Facts: _facts, Figure: _figure, Gallery: _gallery, Notice: _notice, Table: _table,
}  # fmt: skip
