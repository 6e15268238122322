"""Files that are either whole or not there, files that are read only if they are files, and their SHA-256."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO

from faithkd.errors import UserError

CHUNK = 2**20
KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}
"""What a name can stand for that is not a file."""
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.part")
"""Names that `atomic` gives to files that are not whole yet."""


@contextmanager
def atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write that becomes `path` when the block ends well, and leaves no trace when it does not.

    Raises `UserError` when the folder or the disk does not let it be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose a folder that you may write to") from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _mark_as_written(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder and below; a file that is being written is locked, and stays."""
    for place, _, names in os.walk(folder):
        for name in filter(_LEFTOVER.fullmatch, names):
            path = Path(place) / name
            with suppress(OSError, UserError), open_regular(path) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def is_leftover(name: str) -> bool:
    """Is a file of that name one that was never finished."""
    return _LEFTOVER.fullmatch(name) is not None


def is_file(name: str | Path) -> bool:
    """Does a regular file have this name, which may be no possible name at all."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def open_regular(path: str | Path, limit: int | None = None) -> BufferedReader:
    """A file of at most `limit` bytes, opened to be read in binary.

    Raises `UserError` when there is none, when it has more, or when it is a folder, a pipe, a device: it never waits.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    except FileNotFoundError as error:
        raise UserError(f"a file was expected, but there is none at {path}; check its name") from error
    except IsADirectoryError as error:
        raise UserError(_not_a_file(path, "folder")) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a file that you may read") from error
    except ValueError as error:
        raise UserError(f"{str(path)!r} cannot be the name of a file; give another one") from error
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise UserError(_not_a_file(path, KINDS.get(stat.S_IFMT(found.st_mode), "special file")))
    if limit is not None and found.st_size > limit:
        file.close()
        raise UserError(_too_long(str(path), limit, f"{found.st_size:,}"))
    return file


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises `UserError` for anything else, before it is read."""
    with open_regular(path, limit) as file:
        return read_at_most(file, limit, str(path))


def read_at_most(stream: IO[bytes], limit: int, name: str) -> bytes:
    """The rest of a stream, which may be one that unpacks as it is read, such as a `gzip.GzipFile`.

    name: of what it holds, for the message. Raises `UserError` when there are more than `limit` bytes, of which no more are unpacked,
    and whatever the stream raises when what it reads is damaged.
    """
    content = bytearray()
    while piece := stream.read(min(CHUNK, limit + 1 - len(content))):
        content += piece
        if len(content) > limit:
            raise UserError(_too_long(name, limit, "more"))
    return bytes(content)


def sha256(path: str | Path, limit: int | None = None) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises `UserError` when it cannot be read, or has more than `limit` bytes."""
    try:
        with open_regular(path, limit) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _mark_as_written(file: IO[bytes]) -> None:
    """Lock it, where the file system has locks, so that it is not taken for the leftover of a writer that was killed."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _without_waiting(path: str, flags: int) -> int:
    """Opening a pipe that nobody writes to would wait for ever; Python's own flags close the file in new programs."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _not_a_file(path: str | Path, kind: str) -> str:
    return f"a file was expected, but {path} is a {kind}; give a file"


def _too_long(name: str, limit: int, found: str) -> str:
    return f"at most {limit:,} bytes were expected in {name}, but there are {found}; give another file"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
