"""A table as cells, and names as they stand in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath


@dataclass(frozen=True)
class Table:
    """Columns with their explanation, and rows of cells that are ready to be shown."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]


def short(name: str) -> str:
    """A network's or data set's name, of a path only the end."""
    return PurePath(name).name


def folder_names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with what is above them where those are equal."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
