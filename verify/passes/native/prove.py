"""What forms reach over boxes by the compiled kernel: the same sums as the tensor code of `verify.passes.bound`, in float64."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.network.activation import Lines
from verify.passes.ground import Ground
from verify.passes.native import library as native
from verify.passes.native.library import address, check_within
from verify.passes.native.search import COUNT, POINTER, Layout
from verify.passes.stack import Forms, Stack
from verify.rounding import sum_rate

if TYPE_CHECKING:
    from verify.passes.bound import PassErrors


POINTERS = (
    *("line", "image", "box", "forms", "above", "intercept", "below", "multiplier"),
    *("errors", "middle", "half", "value", "error"),
)


class Arrays(ctypes.Structure):
    """See prove.c."""

    _fields_ = [("n", COUNT), ("relative", ctypes.c_double), *((name, POINTER) for name in POINTERS)]


class Prover:
    """The compiled passes of one stack of networks."""

    def __init__(self, stack: Stack, errors: PassErrors) -> None:
        self._stack, self._layout, self._errors = stack, Layout(stack), errors.hidden.contiguous()

    def reached(self, image: Tensor, ground: Ground, forms: Forms, lines: Lines, line: Tensor) -> tuple[Tensor, Tensor]:
        """See `verify.passes.bound.Engine.reached`."""
        networks, n, boxes = self._layout.networks, len(image), len(ground.region)
        width, firsts, inputs = networks.width, networks.firsts, networks.inputs
        kept, places = [], []
        for index, count in ((line, len(lines.above)), (image, len(self._errors)), (ground.index, boxes)):
            check_within(index, count)
            kept.append(index.contiguous())
            places.append(address(kept[-1], torch.int64, n))
        own = torch.cat(tuple(forms), dim=1)
        for tensor, shape in (
            (own, (n, own.shape[1])),
            *((side, (len(lines.above), width)) for side in (lines.above, lines.intercept, lines.below, lines.multiplier)),
            (self._errors, (len(self._errors), width)),
            (torch.cat(ground.firsts, dim=1), (boxes, firsts)),
            (ground.region.half, (boxes, inputs)),
        ):  # fmt: skip
            kept.append(tensor.contiguous())
            places.append(address(kept[-1], torch.float64, *shape))
        value, error = own.new_empty(n), own.new_empty(n)
        arrays = Arrays(n, sum_rate(self._stack.terms), *places, value.data_ptr(), error.data_ptr())
        kernels = native.library()
        assert kernels is not None
        if kernels.prove_rows(ctypes.byref(networks), ctypes.byref(arrays)):
            raise MemoryError("the compiled passes could not allocate their scratch space")
        return value, error
