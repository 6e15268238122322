"""The arrays of an `.npz` file that is not trusted: each is checked by its header, and read as far as that promises and no further."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from faithkd.archives import DAMAGE, ENCRYPTED, PACKINGS, open_zip
from faithkd.errors import UserError
from faithkd.files import CHUNK
from faithkd.kinds import ARCHIVE, ARRAY, ARRAYS, kind_of

ROOM, TIMES = 2**28, 100
"""The numbers of a file may take so many bytes as float32, or so many times the file's own size where that is more."""
LARGEST = 2**40


def read_arrays(path: Path, names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """The named arrays of an `.npz` file. Raises `UserError` when one is missing, is not of plain numbers, is damaged or too large."""
    kind = kind_of(path)
    if kind == ARRAY:
        raise UserError(f"{path} is one array (.npy); save images and labels together with numpy.savez")
    if kind not in (ARRAYS, ARCHIVE):
        raise UserError(f"{path} is not a readable .npz file but {kind}; save images and labels with numpy.savez")
    with open_zip(path, LARGEST) as archive:
        held = archive.namelist()
        found = [name for name in (*names, *optional) if f"{name}.npy" in held]
        if missing := [name for name in names if name not in found]:
            there = ", ".join(name.removesuffix(".npy")[:40] for name in held[:8]) or "none"
            raise UserError(
                f"{path} must hold the arrays images and labels but lacks {' and '.join(missing)} (it has {there}); "
                "save it with numpy.savez(path, images=..., labels=...)"
            )
        if twice := next((name for name in found if held.count(f"{name}.npy") > 1), None):
            raise UserError(f"{path} holds the array {twice} more than once; save it with numpy.savez again")
        room = max(ROOM, TIMES * path.stat().st_size)
        return {name: _array(archive, f"{name}.npy", room) for name in found}


def _array(archive: zipfile.ZipFile, name: str, room: int) -> NDArray[Any]:
    where = f"the array {name.removesuffix('.npy')} of {archive.filename}"
    entry = archive.getinfo(name)
    if entry.flag_bits & ENCRYPTED:
        raise UserError(f"{where} is locked with a password; save it with numpy.savez again")
    if entry.compress_type not in PACKINGS:
        raise UserError(f"{where} is packed in a way that numpy.savez_compressed does not use; save it with that again")
    try:
        with archive.open(entry) as member:
            shape, fortran, dtype = _header(member)
            _check(where, shape, dtype, room)
            if dtype.itemsize * math.prod(shape) != entry.file_size - member.tell():
                raise ValueError("another length than its header promises")
            array = np.empty(math.prod(shape), dtype)
            _fill(member, array.view(np.uint8).data)
            return array.reshape(shape, order="F" if fortran else "C")
    except (*DAMAGE, MemoryError) as error:
        raise UserError(f"{where} is damaged, or none of plain numbers; save it with numpy.savez again") from error


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type. Raises `ValueError` when they are not written as NumPy writes them."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        return readers[npy.read_magic(member)](member)
    # NumPy evaluates the header as a Python literal, and lets through whatever its parts raise.
    except Exception as error:
        raise ValueError("no header of numbers") from error


def _check(where: str, shape: tuple[int, ...], dtype: np.dtype[Any], room: int) -> None:
    if dtype.kind not in "biuf":
        raise UserError(f"{where} must be of plain numbers, but is of type {dtype}; convert it and save it again")
    if len(shape) > 8 or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"an impossible shape, {shape}")
    if math.prod(shape) * max(dtype.itemsize, 4) > room:
        raise UserError(
            f"{where} has shape {shape} and needs more than {room:,} bytes, which is not believed of a file of its size; save it without "
            "compression"
        )


def _fill(member: IO[bytes], view: memoryview) -> None:
    """Read as many bytes as fit; the end of the member, where its sum is checked, must be there too."""
    done = 0
    while done < len(view):
        piece = member.read(min(CHUNK, len(view) - done))
        if not piece:
            raise EOFError("it ends early")
        view[done : done + len(piece)] = piece
        done += len(piece)
    if member.read(1):
        raise ValueError("it goes on behind its end")
