"""The tightening of subproblems by the compiled kernel: the bounds of the tensor code of `verify.joint.tightening`, in float64."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.passes.ground import Ground
from verify.passes.native import library as native
from verify.passes.native.library import address, check_within
from verify.passes.native.search import COUNT, POINTER, Layout
from verify.passes.stack import Stack
from verify.region import dot
from verify.rounding import TINY, level_error, sum_rate

if TYPE_CHECKING:
    from verify.measures.subproblem import Subproblems
    from verify.passes.bound import Cut, PassErrors


class Regions(ctypes.Structure):
    """See tighten.c."""

    _fields_ = [(name, POINTER) for name in ("middle", "radius", "errors")] + [
        (name, ctypes.c_double) for name in ("relative", "tiny")
    ]


class Cuts(ctypes.Structure):
    """See tighten.c."""

    _fields_ = [(name, COUNT) for name in ("n", "columns")] + [
        (name, POINTER) for name in ("image", "label", "coefficients", "offset", "slack", "lower", "upper")
    ]


class Tightener:
    """The compiled tightening for one pair, of neurons and of the differences of logits from a label.

    order `(inputs,)`: the inputs so that the first of them stand for all.
    """

    def __init__(self, stack: Stack, errors: PassErrors, order: Tensor) -> None:
        self._stack, self._order, self._layout = stack, order, Layout(stack, order)
        parts, start = [], 0
        for places, of_results in zip(stack.places, errors.results, strict=True):
            width = sum(place.stop - place.start for place in places)
            parts += [errors.hidden[:, start : start + width], of_results]
            start += width
        self._errors = torch.cat(parts, dim=1)

    def tighten(
        self, subproblems: Subproblems, label: Tensor | None, ground: Ground, cut: Cut, level: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The narrowed boxes of the subproblems, `(n, columns)` float32, lower and upper; level `(n,)`.

        label: `(n,)` where both networks' differences of logits from it follow the neurons, None where there are only neurons.
        """
        networks, region = self._layout.networks, ground.region
        middle, half = torch.cat(ground.firsts, dim=1), region.half[:, self._order].contiguous()
        own = bool(subproblems.layout.inputs)
        errors = self._errors[subproblems.image].contiguous() if own else self._errors
        boxes, inputs = len(region), networks.inputs
        places = [
            address(tensor, torch.float64, boxes, size)
            for tensor, size in ((middle, networks.firsts), (half, inputs), (errors, self._errors.shape[1]))
        ]
        regions = Regions(*places, sum_rate(self._stack.terms), TINY)
        offset = dot(cut.coefficients, region.middle[ground.index]) + cut.constant - level
        slack = 2 * cut.error + level_error(cut.constant, level)
        lower, upper = subproblems.lower.clone(), subproblems.upper.clone()
        n, columns = lower.shape
        check_within(ground.index, boxes)
        forms = 0 if label is None else 2 * networks.classes + 2
        label = torch.full_like(ground.index, -1) if label is None else label
        if forms:
            check_within(label, networks.classes)
        if subproblems.layout.width != networks.width or columns < networks.width + forms:
            raise TypeError(
                f"a kernel for {networks.width} neurons was given subproblems of {subproblems.layout.width}"
            )
        given = (
            (ground.index.contiguous(), torch.int64, (n,)), (label.contiguous(), torch.int64, (n,)),
            (cut.coefficients[:, self._order].contiguous(), torch.float64, (n, inputs)),
            (offset, torch.float64, (n,)), (slack, torch.float64, (n,)),
            (lower, torch.float32, (n, columns)), (upper, torch.float32, (n, columns)),
        )  # fmt: skip
        cuts = Cuts(n, columns, *(address(tensor, kind, *shape) for tensor, kind, shape in given))
        kernels = native.library()
        assert kernels is not None
        if kernels.tighten_rows(*(ctypes.byref(t) for t in (self._layout.networks, regions, cuts))):
            raise MemoryError("the compiled tightening could not allocate its scratch space")
        return lower, upper
