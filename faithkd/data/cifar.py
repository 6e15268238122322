"""The published files of CIFAR-10 and CIFAR-100: the binary version and the Python one, unpacked or in their archive."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from faithkd.data.catalogue import Published
from faithkd.data.plain_pickle import Array, load_plain
from faithkd.data.source import check_count, check_range, file_at, unpacked, unzipped
from faithkd.errors import UserError
from faithkd.files import read_at_most, read_bytes

_PIXELS = 3 * 32 * 32
LARGEST_BATCH, LARGEST_ARCHIVE, MOST_FILES = 2 * 10**8, 25 * 10**7, 1000
"""Bytes of a file and of an archive unpacked, and files in it; the largest published are of 156 and 187 million bytes, 9 files."""

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Form:
    """One published form of a data set: its archive, the folder in it, by split the files there, and what reads one of them."""

    archive: str
    folder: str
    files: dict[str, tuple[str, ...]]
    parse: Callable[[bytes, Path], Batch]


def holds(folder: Path, published: Published, split: str) -> bool:
    """Does a folder have the files of a split, in any form."""
    return any(_place(folder, published, form, split) for form in FORMS[published.name])


def read(folder: Path, published: Published, split: str) -> Batch:
    """The images `(n, 3, 32, 32)` and the (fine) labels of a split; the binary version where both are there.

    Raises `UserError` when the files are damaged or are not the published ones.
    """
    found = ((form, _place(folder, published, form, split)) for form in FORMS[published.name])
    form, place = next(((form, place) for form, place in found if place), (None, folder))
    if form is None:
        raise UserError(f"{folder} does not hold {published.title}; fetch it, or name the folder that does")
    names = form.files[split]
    contents = _unpacked(place, names) if place.is_dir() else _in_archive(place, form, names)
    batches = [form.parse(content, place / name) for name, content in zip(names, contents, strict=True)]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    check_count(published, split, len(labels), place)
    check_range(published, labels, place)
    return images.reshape(-1, *published.image_shape), labels


def read_binary(content: bytes, path: Path, label_bytes: int) -> Batch:
    """Records of `label_bytes` labels, of which the last counts, and 3,072 pixels: red, green and blue, row by row."""
    size = label_bytes + _PIXELS
    if not content or len(content) % size:
        raise UserError(
            f"{path} has {len(content)} bytes, which is no multiple of a record's {size}; delete it and fetch it again"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def read_python(content: bytes, path: Path, labels_name: bytes) -> Batch:
    """A pickled dictionary with an array `data` `(n, 3072)` of bytes and a list of labels; nothing in it is run."""
    batch = load_plain(content, path)
    data, labels = (batch.get(b"data"), batch.get(labels_name)) if isinstance(batch, dict) else (None, None)
    pixels = data.values() if isinstance(data, Array) else None
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise UserError(f"{path} does not hold the array data of (n, {_PIXELS}) bytes; fetch the data set again")
    if (
        not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(0 <= n < 256 for n in map(_integer, labels))
    ):
        raise UserError(
            f"{path} does not hold the list {labels_name.decode()} with a label for each image; fetch the data set again"
        )
    return pixels, np.array(labels, dtype=np.int64)


def _batches(names: list[str], test: str) -> dict[str, tuple[str, ...]]:
    return {"train": tuple(names), "test": (test,)}


_TEN = [f"data_batch_{k}" for k in range(1, 6)]
FORMS: dict[str, tuple[Form, ...]] = {
    "cifar10": (
        Form(
            "cifar-10-binary.tar.gz", "cifar-10-batches-bin", _batches([f"{name}.bin" for name in _TEN], "test_batch.bin"),
            partial(read_binary, label_bytes=1),
        ),
        Form(
            "cifar-10-python.tar.gz", "cifar-10-batches-py", _batches(_TEN, "test_batch"),
            partial(read_python, labels_name=b"labels"),
        ),
    ),
    "cifar100": (
        Form(
            "cifar-100-binary.tar.gz", "cifar-100-binary", _batches(["train.bin"], "test.bin"),
            partial(read_binary, label_bytes=2),
        ),
        Form(
            "cifar-100-python.tar.gz", "cifar-100-python", _batches(["train"], "test"),
            partial(read_python, labels_name=b"fine_labels"),
        ),
    ),
}  # fmt: skip
"""By data set, the better form first."""


def _place(folder: Path, published: Published, form: Form, split: str) -> Path | None:
    """The folder of the unpacked files, or the archive."""
    return unpacked(folder, published, form.folder, form.files[split]) or file_at(folder, form.archive)


def _unpacked(place: Path, names: tuple[str, ...]) -> list[bytes]:
    return [read_bytes(place / name, LARGEST_BATCH) for name in names]


def _in_archive(path: Path, form: Form, names: tuple[str, ...]) -> list[bytes]:
    """The files' contents, in one pass through the archive; nothing is unpacked to the disk."""
    wanted = {f"{form.folder}/{name}": name for name in names}
    contents: dict[str, bytes] = {}
    try:
        with _opened(path) as archive:
            for count, member in enumerate(archive):
                if count > MOST_FILES:
                    raise UserError(f"{path} holds more files than {form.archive} does; delete it and fetch it again")
                file = archive.extractfile(member) if member.isfile() and member.name in wanted else None
                if file is not None:
                    contents[wanted[member.name]] = read_at_most(file, LARGEST_BATCH, f"{member.name} of {path}")
                if len(contents) == len(wanted):
                    break
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise UserError(f"{path} is a damaged or truncated archive; delete it and fetch it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; delete it and fetch it again") from error
    if len(contents) < len(wanted):
        lacking = ", ".join(name for name in names if name not in contents)
        raise UserError(f"{path} does not hold {lacking} in {form.folder}; delete it and fetch it again")
    return [contents[name] for name in names]


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream."""
    with (
        unzipped(path) as stream,
        tarfile.open(fileobj=cast(IO[bytes], _Limited(stream, path)), mode="r|") as archive,
    ):
        yield archive


class _Limited:
    """A stream that gives so many bytes and no more: what a tar archive says of its members decides how much is read at once."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._left = stream, path, LARGEST_ARCHIVE

    def read(self, size: int) -> bytes:
        """As of any stream. Raises `UserError` beyond the limit."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise UserError(
                f"{self._path} unpacks to more than {LARGEST_ARCHIVE:,} bytes; delete it and fetch it again"
            )
        return content


def _integer(value: object) -> int:
    return value if type(value) is int else -1
