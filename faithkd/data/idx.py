"""The IDX file format of MNIST: a header that names a type and sizes, then the numbers (LeCun, Cortes and Burges)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faithkd.errors import UserError

_UNSIGNED_BYTE = 0x08


def read_idx(path: str | Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzip-compressed or not.

    dimensions: how many the file must have: 3 for images `(n, height, width)`, 1 for labels `(n,)`. Raises `UserError` when
    the file cannot be read, is damaged, is not IDX, or is shorter or longer than its header says.
    """
    path = Path(path)
    content = _content(path)
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
        raise UserError(
            f"{path} is not an IDX file of unsigned bytes with {dimensions} dimension{'s' * (dimensions > 1)} "
            f"(it begins with {content[:4].hex(' ') or 'nothing'}); delete it and fetch it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise UserError(
            f"{path} holds {len(content) - header} bytes of data but its header promises {math.prod(shape)}; "
            "delete it and fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is a damaged or truncated gzip file; delete it and fetch it again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
