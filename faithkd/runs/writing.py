"""Writing the files of a run folder so that a kill leaves whole files, and whole lines but for the last."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.runs.arrays import Arrays, packed
from faithkd.runs.layout import PARTS
from faithkd.runs.records import Certificate, PartDigests


def text_of(records: Sequence[Certificate | PartDigests]) -> bytes:
    """A line for each record."""
    return b"".join((json.dumps(msgspec.to_builtins(record), allow_nan=False) + "\n").encode() for record in records)


def store_part(folder: Path, name: str, certificates: Sequence[Certificate], witnesses: Arrays) -> PartDigests:
    """Save the witnesses of a finished part whole; returns its digests."""
    content = packed(witnesses)
    with atomic(folder / PARTS / f"{name}.npz") as file:
        file.write(content)
    indices = tuple(line.index for line in certificates)
    sums = (hashlib.sha256(part).hexdigest() for part in (text_of(certificates), content))
    return PartDigests(name, certificates[0].eps, indices, *sums)


def append_whole(path: Path, text: bytes) -> None:
    """Append lines in one write. Raises `UserError` when the disk is full or cannot be written; half of them are taken back."""
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab", buffering=0) as stream:
            if stream.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, before)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; make room and continue with --resume"
        ) from error


def rewrite(path: Path, content: bytes) -> None:
    """Give a file another content, at once; a file that is to be empty is not made."""
    if content or path.exists():
        with atomic(path) as file:
            file.write(content)
