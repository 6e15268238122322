"""The tightening of rows by the compiled kernel: the same bounds as the tensor code of `verify.tightening`, in float64."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.native.library import address, check_within, library
from verify.native.search import COUNT, POINTER, Networks, layer_sizes
from verify.rounding import TINY, level_error, sum_rate

if TYPE_CHECKING:
    from verify.engine import Cut, Engine
    from verify.inputs import InputBoxes
    from verify.rows import Rows


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
    """The compiled tightening for one engine; `order` `(inputs,)`: the inputs so that the first of them stand for all."""

    def __init__(self, engine: Engine, order: Tensor) -> None:
        pair = engine.exact
        sizes = layer_sizes(pair)
        none = pair.first.new_zeros(0)
        later = [weight.flatten() for network in pair.networks for weight in network.weights[1:]]
        biases = [bias for network in pair.networks for bias in network.biases]
        errors, start = [], 0
        for places, of_logits in zip(pair.places, engine.logit_errors, strict=True):
            width = sum(place.stop - place.start for place in places)
            errors += [engine.hidden_errors[:, start : start + width], of_logits]
            start += width
        self._order, self._engine, self._errors = order, engine, torch.cat(errors, dim=1)
        self._kept = (
            sizes, torch.cat([none, *later]), torch.cat([none, *biases]), pair.first[:, order].T.contiguous(),
        )  # fmt: skip
        shape = (*sizes.shape, pair.width, *pair.first.shape, pair.networks[0].classes)
        self._networks = Networks(*shape, *(t.data_ptr() for t in self._kept))
        self._whole = self._arrays(engine.inputs.whole)

    @staticmethod
    def fits(engine: Engine) -> bool:
        """Whether there is a kernel: on the processor."""
        return engine.exact.first.device.type == "cpu" and library() is not None

    def tighten(self, rows: Rows, cut: Cut, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """The narrowed boxes of the rows, `(n, columns)` float32, lower and upper; threshold `(n,)`."""
        boxes = self._engine.inputs.of(rows)
        arrays = self._arrays(boxes) if rows.inputs else self._whole
        outputs, firsts = self._errors.shape[1], self._networks.firsts
        sizes = [(len(boxes.center), size) for size in (firsts, cut.coefficients.shape[1], outputs)]
        places = [address(t, torch.float64, *size) for t, size in zip(arrays, sizes, strict=True)]
        regions = Regions(*places, sum_rate(self._engine.exact.terms), TINY)
        offset = (cut.coefficients * boxes.center[boxes.index]).sum(dim=1) + cut.constant - threshold
        slack = 2 * cut.error + level_error(cut.constant, threshold)
        lower, upper = rows.lower.clone(), rows.upper.clone()
        given = (
            boxes.index.contiguous(), rows.label.contiguous(), cut.coefficients[:, self._order].contiguous(), offset, slack,
            lower, upper,
        )  # fmt: skip
        n, columns, inputs = len(rows), lower.shape[1], self._networks.inputs
        check_within(boxes.index, len(boxes.center))
        check_within(rows.label, rows.classes)
        if columns < rows.width + 2 * rows.classes + 2 or rows.width != self._networks.width:
            raise TypeError(f"a kernel for {self._networks.width} neurons was given rows of {rows.width}")
        shapes = ((n,), (n,), (n, inputs), (n,), (n,), (n, columns), (n, columns))
        types = (torch.int64, torch.int64, *[torch.float64] * 3, torch.float32, torch.float32)
        cuts = Cuts(n, columns, *(address(t, k, *s) for t, k, s in zip(given, types, shapes, strict=True)))
        kernels = library()
        assert kernels is not None
        if kernels.tighten_rows(*(ctypes.byref(t) for t in (self._networks, regions, cuts))):
            raise MemoryError("the compiled tightening could not allocate its scratch space")
        return lower, upper

    def _arrays(self, boxes: InputBoxes) -> tuple[Tensor, Tensor, Tensor]:
        """What the kernel wants of boxes of inputs, in float64: the first layers at the centers, the half widths, and the errors."""
        pair, half = self._engine.exact, (boxes.upper - boxes.lower) / 2
        return (
            boxes.center @ pair.first.T + pair.first_bias,
            half[:, self._order].contiguous(),
            self._errors[boxes.image].contiguous(),
        )
