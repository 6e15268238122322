"""Files of witnesses: arrays with one row a certificate, read with their types, shapes and sizes known before."""

from __future__ import annotations

import io
import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faithkd.archives import open_zip, read_member
from faithkd.errors import UserError
from faithkd.runs.stored import AGAIN

Arrays = dict[str, NDArray[Any]]

KINDS = {
    "index": "i8", "eps": "f8", "image": "f4", "witness": "f4", "teacher": "f4", "student": "f4", "empirical_agreement": "b1",
}  # fmt: skip
LARGEST_IMAGE, MOST_CLASSES = 3 * 256 * 256, 100_000
"""Numbers of an image and classes of a network up to which witnesses are kept and read."""
HEADER = 4096
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '(?P<bytes>[<>|])(?P<kind>[a-z]\d+)', 'fortran_order': (?P<order>True|False), "
    rb"'shape': \((?P<shape>[\d, ]{0,200})\), \} *\n\Z"
)


@dataclass(frozen=True)
class Shapes:
    """Of one image, and the number of classes; None where the run does not say."""

    image: tuple[int, ...] | None
    classes: int | None

    def numbers(self, name: str) -> int:
        """How many numbers a row of an array has at most."""
        if name in ("image", "witness"):
            return LARGEST_IMAGE if self.image is None else math.prod(self.image)
        if name in ("teacher", "student"):
            return 2 * (MOST_CLASSES if self.classes is None else self.classes)
        return 1

    def fits(self, name: str, row: tuple[int, ...]) -> bool:
        """Can a row of an array have this shape."""
        if name in ("image", "witness"):
            return row != () and self.image in (None, row)
        if name in ("teacher", "student"):
            return len(row) == 2 and row[0] == 2 and self.classes in (None, row[1])
        return row == ()


def packed(arrays: Arrays) -> bytes:
    """The content of a file of witnesses."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_arrays(path: Path, most: int, shapes: Shapes) -> Arrays:
    """The arrays of a file of witnesses with at most `most` rows. Raises `UserError` for any other file.

    Nothing is unpacked beyond what `most` rows of these shapes take.
    """
    with open_zip(path, longest(most, shapes)) as archive:
        _check_names(archive, path)
        arrays = {
            name: _array(read_member(archive, f"{name}.npy", _longest(name, most, shapes)), name, path)
            for name in KINDS
        }
    rows = {len(values) for values in arrays.values()}
    if len(rows) != 1 or max(rows) > most:
        raise UserError(f"{path} must have one row for each certificate, but is not so; {AGAIN}")
    for one, other in (("image", "witness"), ("teacher", "student")):
        if arrays[one].shape != arrays[other].shape:
            raise UserError(f"{one} and {other} in {path} must have one shape, but have two; {AGAIN}")
    for name, values in arrays.items():
        if not shapes.fits(name, values.shape[1:]):
            raise UserError(
                f"{name} in {path} has rows of shape {values.shape[1:]}, which the run cannot have; {AGAIN}"
            )
    return arrays


def longest(most: int, shapes: Shapes) -> int:
    """Bytes that a file of witnesses with at most `most` rows can have; what does not pack well grows by less than a thousandth."""
    plain = sum(_longest(name, most, shapes) for name in KINDS)
    return plain + plain // 1000 + HEADER


def _longest(name: str, most: int, shapes: Shapes) -> int:
    return most * int(KINDS[name][1:]) * shapes.numbers(name) + HEADER


def _check_names(archive: zipfile.ZipFile, path: Path) -> None:
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in KINDS):
        raise UserError(f"{path} must hold the arrays {', '.join(KINDS)}, each once, but does not; {AGAIN}")


def _array(content: bytes, name: str, path: Path) -> NDArray[Any]:
    """One member, by the format of numpy's `.npy` files, version 1; its header is looked at as text, never evaluated."""
    length = int.from_bytes(content[8:10], "little")
    found = _HEADER.match(content[10 : 10 + length])
    if content[:8] != _MAGIC + b"\x01\x00" or found is None or found["kind"].decode() != KINDS[name]:
        raise UserError(f"{name} in {path} must be an array of type {KINDS[name]}, but is none; {AGAIN}")
    shape = tuple(int(size) for size in found["shape"].replace(b" ", b"").split(b",") if size)
    kind = np.dtype((found["bytes"] + found["kind"]).decode())
    if not shape or math.prod(shape) * kind.itemsize != len(content) - 10 - length:
        raise UserError(f"{name} in {path} is shorter or longer than its header says; {AGAIN}")
    values = np.frombuffer(content, kind, offset=10 + length)
    if kind == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
        raise UserError(f"{name} in {path} holds values that are neither true nor false; {AGAIN}")
    # The bytes that were read cannot be written; an array of its own can.
    return values.copy().reshape(shape, order="F" if found["order"] == b"True" else "C")
