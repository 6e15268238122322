"""Zip archives that are not trusted: a member is unpacked as far as its header promises, and no further than is asked for."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from faithkd.errors import UserError
from faithkd.files import open_regular, read_at_most

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that unpack piece by piece; bzip2 and lzma unpack a whole block, of any size, whatever is asked for."""
ENCRYPTED = 0x1
LARGEST_DIRECTORY = 2**25
"""Bytes of the list of files; that of the 120,000 files of Tiny-ImageNet has 16 million."""
END_RECORD = 22
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, OverflowError, RuntimeError)
"""What Python's own reader raises for an archive that is none, or is damaged."""


@contextmanager
def open_zip(path: str | Path, limit: int) -> Iterator[zipfile.ZipFile]:
    """The archive in a regular file of at most `limit` bytes. Raises `UserError` when it is none."""
    with open_regular(path, limit) as file:
        _check_directory(file, os.fstat(file.fileno()).st_size, path)
        try:
            archive = zipfile.ZipFile(file)
        except DAMAGE as error:
            raise UserError(f"a zip archive was expected, but {path} is none or is damaged; make it again") from error
        with archive:
            yield archive


def _check_directory(file: BufferedReader, size: int, path: str | Path) -> None:
    """Refuse a directory of files so long that listing it alone would take the memory of many archives."""
    file.seek(max(0, size - END_RECORD - 2**16))
    tail = file.read()
    start = tail.rfind(b"PK\x05\x06")
    if start >= 0 and len(tail) - start >= END_RECORD:
        (length,) = struct.unpack_from("<I", tail, start + 12)
        # The mark of a longer record elsewhere, which archives of fewer than 65,535 files do not need.
        if length == 2**32 - 1 or length > LARGEST_DIRECTORY:
            raise UserError(
                f"a directory of at most {LARGEST_DIRECTORY:,} bytes was expected at the end of {path}, but it is longer; give another file"
            )
    file.seek(0)


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """One member of at most `limit` bytes. Raises `UserError` when there is none, or it is longer, damaged, or packed in another way."""
    where = f"{name} in {archive.filename}"
    try:
        header = archive.getinfo(name)
    except KeyError as error:
        raise UserError(f"there is no {where}; make the file again") from error
    if header.flag_bits & ENCRYPTED or header.compress_type not in PACKINGS:
        raise UserError(f"{where} must be stored plainly or deflated, without a password; make the file again")
    if header.file_size > limit:
        raise UserError(
            f"at most {limit:,} bytes were expected in {where}, but there are {header.file_size:,}; make it again"
        )
    try:
        with archive.open(header) as member:
            content = read_at_most(member, limit, where)
    except DAMAGE as error:
        raise UserError(f"{where} is damaged; make the file again") from error
    if len(content) != header.file_size:
        raise UserError(f"{where} has {len(content):,} bytes instead of {header.file_size:,}; make the file again")
    return content
