"""The search for a row's free numbers by the compiled kernel: the same steps as the tensor code of `verify.engine`."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.native.library import address, check_within, library
from verify.pair import Pair
from verify.schedule import Schedule

MOST_CLASSES = 10
POINTER, COUNT, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class Networks(ctypes.Structure):
    """See search.c."""

    _fields_ = [(name, COUNT) for name in ("count", "depth", "width", "firsts", "inputs", "classes")] + [
        (name, POINTER) for name in ("sizes", "weights", "biases", "turned")
    ]


class RowArrays(ctypes.Structure):
    """See search.c."""

    _fields_ = [(name, COUNT) for name in ("n", "columns")] + [
        (name, POINTER) for name in ("image", "label", "sign", "lower", "upper", "middle", "radius")
    ]


class Steps(ctypes.Structure):
    """See search.c."""

    _fields_ = [("steps", COUNT)] + [
        (name, REAL) for name in ("decay", "slopes", "multipliers", "lam", "logits", "nu", "g")
    ]


class FoundArrays(ctypes.Structure):
    """See search.c."""

    _fields_ = [
        (name, POINTER) for name in ("slopes", "free", "forms", "value", "hidden", "outputs", "logits", "corner")
    ]


@dataclass(frozen=True)
class Reached:
    """What a search ends with, float32: see `verify.engine.Found`; logits `(n, logits)` of all networks side by side."""

    slopes: Tensor
    free: Tensor
    value: Tensor
    hidden: Tensor
    outputs: Tensor
    logits: Tensor
    corner: Tensor


@dataclass(frozen=True)
class Bounds:
    """Rows: the box of inputs `(n,)` of each, its bounds `(n, columns)`, hidden neurons first, and where there is a head its label and
    sign `(n,)`. Of the boxes of inputs: the first layers' outputs at the center `(m, firsts)` and the half widths `(m, d)`."""

    index: Tensor
    lower: Tensor
    upper: Tensor
    middle: Tensor
    radius: Tensor
    label: Tensor | None = None
    sign: Tensor | None = None

    def columns(self) -> tuple[Tensor | None, ...]:
        """In the order of the kernel's."""
        return self.index, self.label, self.sign, self.lower, self.upper, self.middle, self.radius


class Kernel:
    """The compiled search for one pair or one network."""

    def __init__(self, pair: Pair) -> None:
        sizes = layer_sizes(pair)
        none = pair.first.new_zeros(0)
        later = [weight.flatten() for network in pair.networks for weight in network.weights[1:]]
        biases = [bias for network in pair.networks for bias in network.biases]
        self._logits = sum(network.classes for network in pair.networks)
        self._kept = sizes, torch.cat([none, *later]), torch.cat([none, *biases]), pair.first.T.contiguous()
        pointers = [tensor.data_ptr() for tensor in self._kept]
        self._networks = Networks(*sizes.shape, pair.width, *pair.first.shape, pair.networks[0].classes, *pointers)

    @staticmethod
    def fits(pair: Pair, *, with_head: bool) -> bool:
        """Whether there is a kernel for these networks: on the processor, in float32, a head only with at most ten classes."""
        usable = pair.first.device.type == "cpu" and pair.first.dtype == torch.float32
        return usable and not (with_head and pair.networks[0].classes > MOST_CLASSES) and library() is not None

    def search(self, bounds: Bounds, slopes: Tensor, start: Tensor, schedule: Schedule) -> Reached:
        """Lower the bounds of the rows from `slopes` `(n, width)` and `start`: the head's numbers, or without a head the forms."""
        n, boxes, with_head = len(bounds.index), len(bounds.middle), bounds.label is not None
        inputs, firsts, width = self._networks.inputs, self._networks.firsts, self._networks.width
        numbers = 2 + 3 * self._networks.classes if with_head else self._logits
        reached = Reached(
            slopes.clone(memory_format=torch.contiguous_format), start.clone(memory_format=torch.contiguous_format),
            *(slopes.new_empty(shape) for shape in ((n,), (n, width), (n, width), (n, self._logits), (n, inputs))),
        )  # fmt: skip
        given = [None if t is None else t.contiguous() for t in bounds.columns()]
        index, label, sign, lower, upper, middle, radius = given
        columns = bounds.lower.shape[1]
        check_within(bounds.index, boxes)
        shapes: list[tuple[Tensor | None, torch.dtype, tuple[int, ...]]] = [
            (index, torch.int64, (n,)), (label, torch.int64, (n,)), (sign, torch.int64, (n,)),
            (lower, torch.float32, (n, columns)), (upper, torch.float32, (n, columns)),
            (middle, torch.float32, (boxes, firsts)), (radius, torch.float32, (boxes, inputs)),
        ]  # fmt: skip
        if bounds.label is not None and bounds.sign is not None:
            check_within(bounds.label, self._networks.classes)
            check_within(bounds.sign, 2)
        least = width + (2 * self._networks.classes + 2 if with_head else 0)
        if columns < least:
            raise TypeError(f"a kernel needs {least} bounds a row, but was given {columns}")
        rows = RowArrays(n, columns, *(_place(*shape) for shape in shapes))
        free = _place(reached.free, torch.float32, (n, numbers))
        head, forms = (free, None) if with_head else (None, free)
        results = [
            _place(tensor, torch.float32, tuple(tensor.shape))
            for tensor in (reached.value, reached.hidden, reached.outputs, reached.logits, reached.corner)
        ]
        found = FoundArrays(_place(reached.slopes, torch.float32, (n, width)), head, forms, *results)
        names = ("steps", "decay", "slopes", "multipliers", "lam", "logits", "nu", "g")
        steps = Steps(*(getattr(schedule, name) for name in names))
        kernels = library()
        assert kernels is not None
        failed = kernels.search_rows(
            *(ctypes.byref(t) for t in (self._networks, rows, steps)), int(with_head), ctypes.byref(found)
        )
        if failed:
            raise MemoryError("the compiled search could not allocate its scratch space")
        return reached


def layer_sizes(pair: Pair) -> Tensor:
    """`(networks, layers)` int64: every layer's number of outputs, 0 beyond a network's last."""
    sizes = torch.zeros((len(pair.networks), max(network.depth for network in pair.networks)), dtype=torch.int64)
    for k, network in enumerate(pair.networks):
        sizes[k, : network.depth] = torch.tensor([len(bias) for bias in network.biases])
    return sizes


def _place(tensor: Tensor | None, dtype: torch.dtype, shape: tuple[int, ...]) -> int | None:
    return None if tensor is None else address(tensor, dtype, *shape)
