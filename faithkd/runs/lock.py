"""One writer a folder: a lock that goes with the process that holds it, whatever way it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
from pathlib import Path
from typing import IO

from faithkd.errors import UserError
from faithkd.files import is_leftover, remove_leftovers

NAME = ".lock"
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What file systems say that have none, such as some of the network: there everyone may write, as if alone."""
_HOLDER = re.compile(rb"process \d+ on [\w.-]+")


class Lock:
    """The lock of a folder, from its making to `release` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises `UserError` when another process has it, or the folder cannot be written."""
        self._path = folder / NAME
        self._file: IO[bytes] | None = None
        while self._file is None:
            file = self._opened(folder)
            if not self._taken(file, folder):
                file.close()
                return
            if _is_at(file, self._path):
                self._file = file
            else:  # Its last holder removed it between our opening and our locking it.
                file.close()
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        self._file.flush()

    @property
    def held(self) -> bool:
        """False where the file system has no locks."""
        return self._file is not None

    def release(self) -> None:
        """Let others write; a second time does nothing."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def _opened(self, folder: Path) -> IO[bytes]:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(
                f"cannot write in {folder}: {error.strerror}; choose a folder that you may write to"
            ) from error
        file = os.fdopen(handle, "r+b", buffering=0)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            file.close()
            raise UserError(f"{self._path} must be a file, but is none; remove it")
        return file

    def _taken(self, file: IO[bytes], folder: Path) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = file.read(200)
            if error.errno in WITHOUT_LOCKS:
                return False
            file.close()
            named = _HOLDER.fullmatch(holder)
            who = named[0].decode() if named else "another process"
            raise UserError(
                f"{who} is writing in {folder}; wait until it has ended, or choose another --out"
            ) from error
        return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Is the open file the one that has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat(follow_symlinks=False))
    except OSError:
        return False


def lock_new(folder: Path) -> Lock:
    """The lock of a folder for something new, made. Raises `UserError` when it is not empty, in use, or cannot be written."""
    check_free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot use {folder}: {error.strerror}; choose a folder that you may write to") from error
    lock = Lock(folder)
    try:
        # Another process may have begun between the two.
        check_free(folder)
    except UserError:
        lock.release()
        raise
    if lock.held:
        remove_leftovers(folder)
    return lock


def check_free(folder: Path) -> None:
    """Raise `UserError` unless something new can be made in a folder; what a killed process left there does not count."""
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--out must name a folder, but {folder} is a file; choose another name")
        if folder.is_dir() and any(entry.name != NAME and not is_leftover(entry.name) for entry in folder.iterdir()):
            raise UserError(f"the run folder {folder} is not empty; continue it with --resume or choose another --out")
    except OSError as error:
        raise UserError(f"cannot use {folder}: {error.strerror}; choose a folder that you may write to") from error
