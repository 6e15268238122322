"""Where a published file lies in a folder, and what every format checks of what it read."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from faithkd.data.catalogue import Published
from faithkd.errors import UserError
from faithkd.files import open_regular


def file_at(folder: Path, name: str) -> Path | None:
    """The file `name` of a folder, compressed (`.gz`) or not, or None."""
    try:
        return next((path for path in (folder / name, folder / name.removesuffix(".gz")) if path.is_file()), None)
    except OSError:
        return None


def unpacked(folder: Path, published: Published, inner: str, names: tuple[str, ...]) -> Path | None:
    """The folder that holds all the named files of an unpacked archive, or None.

    inner: the archive's own folder; it may lie in `folder`, or be `folder`, which may also have the data set's name.
    """
    here = (folder,) if folder.name in (inner, published.name) else ()
    return next((place for place in (folder / inner, *here) if all(file_at(place, name) for name in names)), None)


@contextmanager
def unzipped(path: Path) -> Iterator[IO[bytes]]:
    """A file as a stream of what it holds, compressed by gzip or not. Raises `UserError` when it is no file."""
    with open_regular(path) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        yield cast(IO[bytes], gzip.GzipFile(fileobj=file) if packed else file)


def check_count(published: Published, split: str, count: int, path: Path) -> None:
    """Raise `UserError` unless there are as many items as the split has."""
    if count != published.sizes[split]:
        raise UserError(
            f"{path} holds {count} items but the {split} split of {published.title} has {published.sizes[split]}"
        )


def check_range(published: Published, labels: NDArray[np.integer[Any]], path: Path) -> None:
    """Raise `UserError` when a label is none of the data set's."""
    wrong = labels[(labels < 0) | (labels >= published.classes)]
    if len(wrong):
        raise UserError(
            f"{path} holds the label {wrong.max()} but the labels of {published.title} are 0 to {published.classes - 1}"
        )
