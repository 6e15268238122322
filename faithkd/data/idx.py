"""The IDX file format of MNIST: a header that names a type and sizes, then the numbers (LeCun, Cortes and Burges)."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from faithkd.data import keras
from faithkd.data.catalogue import PUBLISHED, Published
from faithkd.data.source import check_count, check_range, file_at, unzipped
from faithkd.errors import UserError
from faithkd.files import CHUNK

LARGEST = 2**28
"""Bytes of an array; MNIST's training images have 47 million."""
_UNSIGNED_BYTE = 0x08


def holds(folder: Path, published: Published, split: str) -> bool:
    """Does a folder have the images and labels of a split; unless it has the data set's name, its labels must not be another's."""
    if not all(file_at(folder, file.name) for file in published.files[split]):
        return keras.place(folder, published, split) is not None
    return folder.name == published.name or not _is_another(folder, published, split)


def read(folder: Path, published: Published, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images `(n, height, width)` and labels `(n,)` of a split. Raises `UserError` when they are not the published ones."""
    paths = [file_at(folder, file.name) or folder / file.name for file in published.files[split]]
    joined = None if all(path.exists() for path in paths) else keras.place(folder, published, split)
    if joined is None:
        images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    else:
        paths, (images, labels) = [joined, joined], keras.read(joined, published, split)
    if images.shape[1:] != published.image_shape[1:]:
        raise UserError(
            f"{paths[0]} holds images of shape {images.shape[1:]} but {published.title} has {published.image_shape[1:]}"
        )
    for path, found in zip(paths, (len(images), len(labels)), strict=True):
        check_count(published, split, found, path)
    check_range(published, labels, paths[1])
    owner = _owner(labels, split)
    if owner not in (None, published.name):
        raise UserError(
            f"{paths[1]} is a file of {owner}, not of {published.name}; load {owner} or name another folder"
        )
    return images, labels


def read_idx(path: str | Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzip-compressed or not, read as far as its header promises, LARGEST bytes at most.

    dimensions: how many the file must have: 3 for images `(n, height, width)`, 1 for labels `(n,)`. Raises `UserError` when
    the file cannot be read, is damaged, is not IDX, or is shorter or longer than its header says.
    """
    path = Path(path)
    try:
        with unzipped(path) as stream:
            return _parsed(stream, path, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is a damaged or truncated gzip file; delete it and fetch it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _parsed(stream: IO[bytes], path: Path, dimensions: int) -> NDArray[np.uint8]:
    size = 4 + 4 * dimensions
    header = _read(stream, size)
    if len(header) < size or header[:4] != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
        raise UserError(
            f"{path} is not an IDX file of unsigned bytes with {dimensions} dimension{'s' * (dimensions > 1)} "
            f"(it begins with {header[:4].hex(' ') or 'nothing'}); delete it and fetch it again"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    promised = math.prod(shape)
    if not 0 < promised <= LARGEST:
        raise UserError(
            f"{path} promises {promised:,} bytes of data, but 1 to {LARGEST:,} were expected; delete it and fetch it again"
        )
    # To the end, where a gzip stream's sum is checked.
    content = _read(stream, promised + 1)
    if len(content) != promised:
        found = f"more than {promised}" if len(content) > promised else len(content)
        raise UserError(
            f"{path} holds {found} bytes of data but its header promises {promised}; delete it and fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or all that there are, unpacked piece by piece."""
    content = bytearray()
    while len(content) < size and (piece := stream.read(min(CHUNK, size - len(content)))):
        content += piece
    return bytes(content)


def _is_another(folder: Path, published: Published, split: str) -> bool:
    """Are the files another data set's of the same file names. Damaged ones count as the one's own: reading says what is wrong."""
    path = file_at(folder, published.files[split][1].name)
    try:
        return path is not None and _owner(read_idx(path, 1), split) not in (None, published.name)
    except UserError:
        return False


def _owner(labels: NDArray[np.uint8], split: str) -> str | None:
    """The published data set that has these labels."""
    digest = hashlib.sha256(labels.tobytes()).hexdigest()
    return next((name for name, known in PUBLISHED.items() if known.label_digests.get(split) == digest), None)
