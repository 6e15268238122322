"""The tightening of subproblems by the compiled kernel: the bounds of the tensor code of `verify.joint.tightening`, in float64."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.passes.ground import Ground
from verify.passes.native.library import Given, call
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
        networks, region, given = self._layout.networks, ground.region, Given()
        errors = self._errors[subproblems.image] if subproblems.layout.inputs else self._errors
        own = torch.cat(ground.firsts, dim=1), region.half[:, self._order], errors
        sizes = networks.firsts, networks.inputs, self._errors.shape[1]
        places = [given.numbers(t, torch.float64, len(region), size) for t, size in zip(own, sizes, strict=True)]
        regions = Regions(*places, sum_rate(self._stack.terms), TINY)
        offset = dot(cut.coefficients, region.middle[ground.index]) + cut.constant - level
        slack = 2 * cut.error + level_error(cut.constant, level)
        lower, upper = (
            side.clone(memory_format=torch.contiguous_format) for side in (subproblems.lower, subproblems.upper)
        )
        n, columns = lower.shape
        none = torch.full_like(ground.index, -1)
        forms = 0 if label is None else 2 * networks.classes + 2
        if subproblems.layout.width != networks.width or columns < networks.width + forms:
            raise TypeError(
                f"a kernel for {networks.width} neurons was given subproblems of {subproblems.layout.width}"
            )
        cuts = Cuts(
            n, columns,
            given.index(ground.index, n, len(region)),
            given.numbers(none, torch.int64, n) if label is None else given.index(label, n, networks.classes),
            given.numbers(cut.coefficients[:, self._order], torch.float64, n, networks.inputs),
            *(given.numbers(t, torch.float64, n) for t in (offset, slack)),
            *(given.numbers(t, torch.float32, n, columns) for t in (lower, upper)),
        )  # fmt: skip
        call("tighten_rows", networks, regions, cuts)
        return lower, upper
