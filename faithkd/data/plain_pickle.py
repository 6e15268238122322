"""Pickled dictionaries, lists, bytes, numbers and byte arrays, read without running anything that a pickle names."""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faithkd.errors import UserError

_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}
_BYTES = (b"u1", "u1", b"uint8", "uint8")


class Array:
    """What stands where the pickle makes an array or its type: the arguments and the state that it gives, looked at later."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def values(self) -> NDArray[np.uint8] | None:
        """The array, or None when it is not one of bytes in row-major order."""
        try:
            _, shape, kind, fortran, content = self.state
            if kind.arguments[0] in _BYTES and not fortran:
                return np.frombuffer(content, dtype=np.uint8).reshape(shape)
        except (TypeError, ValueError, AttributeError, IndexError):
            pass
        return None


class _Maker:
    """What stands for numpy's functions: it makes an `Array`, whatever it is called with."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> Array:
        return Array(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for what arrays are made with, and nothing else."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _Maker()

    def persistent_load(self, pid: Any) -> Any:
        """There are no persistent objects."""
        raise pickle.UnpicklingError("it names a persistent object")


def load_plain(content: bytes, path: Path) -> Any:
    """The object that a pickle describes, its strings as bytes, each array as an `Array`.

    Neither numpy's nor any other program's functions are called on what the file says. Raises `UserError` when it names any other
    object or is damaged; `path` is for the message.
    """
    try:
        _check_places(content)
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # A damaged pickle raises any of many kinds, and none of them is a bug here.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} is not a batch in the published Python form ({reason}); use the binary version of the data set"
        ) from error


def _check_places(content: bytes) -> None:
    """Raise unless the objects that the pickle numbers have small numbers: Python keeps a table as long as the largest number."""
    for code, number, _ in pickletools.genops(content):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(number or 0) <= len(content):
            raise pickle.UnpicklingError(f"it numbers an object {number}")
