"""The compiled kernels: extension modules that come with the installation, one an instruction set, done without where there are none."""

from __future__ import annotations

import ctypes
import importlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verify.passes.stack import Stack

BASELINE = "_baseline"
SWITCH = "FAITHKD_NATIVE"


@cache
def library() -> ctypes.CDLL | None:
    """The kernels for this processor, or None where they were not built or `FAITHKD_NATIVE=0` switches them off."""
    return None if missing() else ctypes.CDLL(_path(_target()))


def code() -> str:
    """Which code the loops run: `compiled for` an instruction set, or `tensors`."""
    return "tensors" if library() is None else f"compiled for {_target().removeprefix('_')}"


@cache
def missing() -> str | None:
    """Why the kernels do not run, in words; None where they do."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 switches them off"
    try:
        built = Path(_path(_target()))
    except (ImportError, OSError):
        return "they were not built; install faithkd again where there is a C compiler"
    if any(source.stat().st_mtime > built.stat().st_mtime for source in built.parent.glob("*.[ch]")):
        return "they are older than their source; install faithkd again"
    return None


@cache
def _target() -> str:
    """The module for the best instruction set that this processor has and that was built."""
    baseline = ctypes.CDLL(_path(BASELINE))
    baseline.best_target.restype = ctypes.c_char_p
    names = ("_avx512", "_avx2", BASELINE)
    best: bytes = baseline.best_target()
    for name in names[names.index(best.decode()) :]:
        try:
            _path(name)
        except ImportError:
            continue
        return name
    raise ImportError("no kernel was built")


def fits(stack: Stack) -> bool:
    """Whether the kernels take these networks: matrices and ReLUs, on the processor."""
    return stack.networks[0].device.type == "cpu" and stack.is_dense and library() is not None


class Given:
    """What one call of a kernel is given: it keeps the tensors whose numbers the kernel reads, and checks that they are what it takes
    them for."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def numbers(self, tensor: Tensor, dtype: torch.dtype, *shape: int) -> int:
        """Where a kernel finds a tensor's numbers. Raises `TypeError` unless it has this type and shape and is on the processor."""
        if tensor.dtype != dtype or tensor.shape != shape or tensor.device.type != "cpu":
            raise TypeError(
                f"a kernel takes a {dtype} tensor of shape {shape} on the processor, "
                f"but was given {tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
            )
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()

    def index(self, index: Tensor, n: int, count: int) -> int:
        """Where it finds `n` indices. Raises `IndexError` unless every one of them is one of `count`."""
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < count:
            raise IndexError(f"a kernel was given the indices {int(index.min())} to {int(index.max())} of {count}")
        return self.numbers(index, torch.int64, n)


def call(name: str, *arguments: Any) -> None:
    """Call a kernel. Raises `MemoryError` where it could not allocate its scratch space."""
    kernels = library()
    assert kernels is not None
    if getattr(kernels, name)(*(ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in arguments)):
        raise MemoryError(f"the compiled {name} could not allocate its scratch space")


def _path(name: str) -> str:
    """The file of one of the modules, found as Python finds modules. Raises `ImportError` where it was not built."""
    return str(importlib.import_module(f"verify.passes.native.{name}").__file__)
