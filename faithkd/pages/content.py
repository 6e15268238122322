"""What a page says, whatever shows it: headings, text, numbers, tables, figures, images with their certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes"], None]


@dataclass(frozen=True)
class Cell:
    """What was measured; what the paper prints for it; the interval that is proved. Empty where there is none."""

    value: str
    paper: str = ""
    proved: str = ""

    def __str__(self) -> str:
        parts = (self.value, f"({self.paper})" if self.paper else "", self.proved)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Table:
    """Columns with what they mean, rows of cells, and the title and the note that these stand between."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    note: str = ""

    @classmethod
    def of(
        cls,
        columns: Iterable[str | tuple[str, str]],
        rows: Iterable[Sequence[str | Cell]],
        title: str = "",
        note: str = "",
    ) -> Table:
        """columns: names, or names with what they mean; rows: of cells, or of what was measured alone."""
        return cls(
            tuple((column, "") if isinstance(column, str) else column for column in columns),
            tuple(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row) for row in rows),
            title,
            note,
        )


@dataclass(frozen=True)
class Figure:
    """One figure of several panels. name: of its file; panels: each draws one; small: four of them stand in a row where there is room."""

    name: str
    panels: tuple[Draw, ...]
    title: str = ""
    caption: str = ""
    small: bool = False


@dataclass(frozen=True)
class Interval:
    """An EMPLB and a FAITHUB, and the word between them."""

    emplb: str
    faithub: str
    between: str

    def __str__(self) -> str:
        return f"{self.emplb} {self.between} {self.faithub}"


@dataclass(frozen=True)
class Bars:
    """The confidences of both networks at one input, class by class."""

    caption: str
    teacher: tuple[float, ...]
    student: tuple[float, ...]


@dataclass(frozen=True)
class Card:
    """An image with its certificate. pictures: names and data addresses."""

    index: int
    label: int
    radius: str
    interval: Interval
    pictures: tuple[tuple[str, str], ...]
    bars: tuple[Bars, ...]
    note: str


@dataclass(frozen=True)
class Gallery:
    """Images to look at, in groups that have a title."""

    groups: tuple[tuple[str, tuple[Card, ...]], ...]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Notice:
    """What a reader must know first, then what else there is to say of it, and a list."""

    text: str
    more: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """One of the numbers that stand at the top."""

    question: str
    value: str | Interval
    note: str


@dataclass(frozen=True)
class Answers:
    """All of them."""

    answers: tuple[Answer, ...]


Block = Table | Figure | Gallery | Facts | Notice | Answers


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, and what stands below them; a section with an anchor is named at the top of the page."""

    title: str
    paragraphs: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    anchor: str = ""


@dataclass(frozen=True)
class Document:
    """A whole page. head: what stands below its title, lead and note."""

    title: str
    lead: str = ""
    note: str = ""
    head: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
