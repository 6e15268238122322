"""What `torch.save` wrote, read without running anything that it names, and sealed where faithkd itself reads it again."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import warnings
import zipfile
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

import torch

from faithkd.archives import open_zip
from faithkd.errors import UserError
from faithkd.files import CHUNK, atomic, open_regular

LARGEST = 2**34
"""Bytes of a file."""
_SEAL = hashlib.sha256().digest_size


def read_plain(path: Path) -> Any:
    """Tensors, numbers, words, lists and dictionaries from a regular file. Raises `UserError` when it holds anything else or is damaged."""
    with open_regular(path, LARGEST) as file:
        _check_packing(path, file, os.fstat(file.fileno()).st_size)
        try:
            with warnings.catch_warnings(action="ignore"):  # torch.load also warns of what it then refuses.
                return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise UserError(
                f"{path} holds pickled objects, which can run code when they are read; save model.state_dict() instead of the model"
            ) from error
        except Exception as error:  # torch.load raises many kinds for damaged files, and none of them is a bug here.
            raise UserError(f"{path} is not a PyTorch file, or a damaged one; save model.state_dict() again") from error


def save_sealed(path: Path, content: Any) -> None:
    """Write it whole or not at all, with its SHA-256 behind it: PyTorch itself does not notice bits that have changed."""
    with atomic(path) as file:
        sealed = _Sealing(file)
        torch.save(content, cast(IO[bytes], sealed))
        file.write(sealed.digest.digest())


def read_sealed(path: Path, limit: int = LARGEST) -> Any:
    """What `save_sealed` wrote, of at most `limit` bytes. Raises `UserError` when it is anything else, or a single bit has changed."""
    with open_regular(path) as file:
        if not _is_sealed(file, limit):
            raise UserError(f"{path} is damaged, cut short or none of faithkd's")
    return read_plain(path)


def _is_sealed(file: BufferedReader, limit: int) -> bool:
    left = os.fstat(file.fileno()).st_size - _SEAL
    if not 0 < left <= limit:
        return False
    digest = hashlib.sha256()
    while left:
        piece = file.read(min(CHUNK, left))
        digest.update(piece)
        left -= len(piece)
    return file.read() == digest.digest()


def _check_packing(path: Path, file: BufferedReader, size: int) -> None:
    """PyTorch never packs what it saves, but would unpack it, however much it is."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return
    with open_zip(path, LARGEST) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise UserError(
                f"{path} is a compressed archive, which torch.save does not write; save model.state_dict() again"
            )
    file.seek(0)


class _Sealing(io.RawIOBase):
    """A file to write to that works out the SHA-256 of what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self.digest = file, hashlib.sha256()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any) -> int:
        """As of any file."""
        self.digest.update(content)
        return self._file.write(content)
