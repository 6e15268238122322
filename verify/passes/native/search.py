"""The search for free numbers by the compiled kernel: the same steps as the tensor code of `verify.passes.bound`."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from verify.passes.native.constants import MOST_CLASSES
from verify.passes.native.library import Given, call
from verify.passes.objective import Fixed, Objective
from verify.passes.optimise import Schedule
from verify.passes.stack import Stack

if TYPE_CHECKING:
    from verify.passes.bound import Task

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


class Layout:
    """Networks as the kernels want them, the first layers stacked and transposed with their inputs in some order."""

    def __init__(self, stack: Stack, order: Tensor | None = None) -> None:
        self.sizes = torch.zeros((len(stack.networks), max(n.depth for n in stack.networks)), dtype=torch.int64)
        for k, network in enumerate(stack.networks):
            self.sizes[k, : network.depth] = torch.tensor([layer.outputs for layer in network.layers])
        matrices = [[layer.matrix() for layer in network.layers] for network in stack.networks]
        first = torch.cat([own[0] for own in matrices if own[0] is not None])
        none = first.new_zeros(0)
        later = [matrix.flatten() for own in matrices for matrix in own[1:] if matrix is not None]
        biases = [layer.bias for network in stack.networks for layer in network.layers]
        turned = (first if order is None else first[:, order]).T.contiguous()
        self._kept = self.sizes, torch.cat([none, *later]), torch.cat([none, *biases]), turned
        shape = (*self.sizes.shape, stack.width, *first.shape, stack.networks[0].classes)
        self.networks = Networks(*shape, *(tensor.data_ptr() for tensor in self._kept))


class Kernel:
    """The compiled search for one stack of networks."""

    def __init__(self, stack: Stack) -> None:
        self._layout = Layout(stack)
        self._results = [network.classes for network in stack.networks]

    def knows(self, objective: Objective) -> bool:
        """Whether it can search for this objective: fixed forms, or the softmaxes of at most ten classes."""
        return isinstance(objective, Fixed) or (objective.compiled is not None and self._results[0] <= MOST_CLASSES)

    def search(
        self, task: Task, objective: Objective, start: tuple[Tensor, Tensor], schedule: Schedule
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...], Tensor]:
        """What `verify.passes.bound.Found` holds, from the neurons' and the objective's numbers in `start`."""
        networks, numbers, ground, given = self._layout.networks, start[0], task.ground, Given()
        n, boxes, known = len(numbers), len(ground.region), objective.compiled
        columns, width, inputs = task.lower.shape[1], networks.width, networks.inputs
        least = width if known is None else width + 2 * networks.classes + 2
        if columns < least:
            raise TypeError(f"a kernel needs {least} bounds a row, but was given {columns}")
        rows = RowArrays(
            n, columns,
            given.index(ground.index, n, boxes),
            None if known is None else given.index(known.label, n, networks.classes),
            None if known is None else given.index(known.sign, n, 2),
            *(given.numbers(side.float(), torch.float32, n, columns) for side in (task.lower, task.upper)),
            given.numbers(ground.middle, torch.float32, boxes, networks.firsts),
            given.numbers(ground.half, torch.float32, boxes, inputs),
        )  # fmt: skip
        found, free = (t.clone(memory_format=torch.contiguous_format) for t in start)
        value, hidden, outputs = (numbers.new_empty(shape) for shape in ((n,), (n, width), (n, width)))
        results, corner = numbers.new_empty((n, sum(self._results))), numbers.new_empty((n, inputs))
        places: list[int | None] = [given.numbers(found, torch.float32, n, width), None, None]
        if known is None:
            places[2] = given.numbers(torch.cat(objective.at(free).forms, dim=1), torch.float32, n, sum(self._results))
        else:
            places[1] = given.numbers(free, torch.float32, n, 2 + 3 * networks.classes)
        arrays = FoundArrays(*places, *(tensor.data_ptr() for tensor in (value, hidden, outputs, results, corner)))
        own = (1.0,) * 4 if known is None else known.rates
        rates = [schedule.slopes, schedule.multipliers, *(schedule.objective * rate for rate in own)]
        call(
            "search_rows", networks, rows, Steps(schedule.steps, schedule.decay, *rates), int(known is not None), arrays
        )
        return found, free, value, hidden, outputs, torch.split(results, self._results, dim=1), corner
