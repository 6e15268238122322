"""What forms reach over boxes by the compiled kernel: the same sums as the tensor code of `verify.passes.bound`, in float64."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.network.activation import Lines
from verify.passes.ground import Ground
from verify.passes.native.library import Given, call
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
        own, result = torch.cat(tuple(forms), dim=1), torch.empty((2, n), dtype=torch.float64)
        given, of_lines = Given(), (lines.above, lines.intercept, lines.below, lines.multiplier)
        arrays = Arrays(
            n, sum_rate(self._stack.terms),
            given.index(line, n, len(lines.above)), given.index(image, n, len(self._errors)), given.index(ground.index, n, boxes),
            given.numbers(own, torch.float64, n, own.shape[1]),
            *(given.numbers(side, torch.float64, len(lines.above), width) for side in of_lines),
            given.numbers(self._errors, torch.float64, len(self._errors), width),
            given.numbers(torch.cat(ground.firsts, dim=1), torch.float64, boxes, firsts),
            given.numbers(ground.region.half, torch.float64, boxes, inputs),
            *(row.data_ptr() for row in result),
        )  # fmt: skip
        call("prove_rows", networks, arrays)
        return result[0], result[1]
