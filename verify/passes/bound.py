"""The bound of an objective over a box, the search for its free numbers, and the proof (docs/branching.md, "The joint bound")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from verify.network.activation import Lines
from verify.network.graph import Network
from verify.passes.ground import Ground
from verify.passes.native.library import fits
from verify.passes.native.prove import Prover
from verify.passes.native.search import Kernel
from verify.passes.objective import Objective, Point
from verify.passes.optimise import Schedule, minimise
from verify.passes.stack import Descent, Forms, Stack
from verify.region import Region, corner, dot, reach
from verify.rounding import proved, sum_error

# Rows that are passed back at once in float64, so that they stay in a core's cache.
ROWS = 128


@dataclass(frozen=True)
class Task:
    """Rows to be bounded. image `(n,)`: whose rounding errors hold. lower, upper `(n, columns)`: what is known, hidden neurons first.

    objective: for a type, what is bounded in each row.
    """

    image: Tensor
    ground: Ground
    lower: Tensor
    upper: Tensor
    objective: Callable[[torch.dtype], Objective]


@dataclass(frozen=True)
class Found:
    """The end of a search: the neurons' numbers `(n, width)`, the objective's, and the bound that they gave `(n,)`.

    Of the last step: the relaxation's own pre-activations and the coefficients of the neurons' outputs `(n, width)`, all networks' outputs
    `(n, C)`, and the corner `(n, d)` of the box as an offset from its middle.
    """

    numbers: Tensor
    free: Tensor
    value: Tensor
    hidden: Tensor
    outputs: Tensor
    results: tuple[Tensor, ...]
    corner: Tensor

    def __getitem__(self, index: Tensor) -> Self:
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        picked: dict[str, Any] = {
            k: tuple(t[index] for t in v) if isinstance(v, tuple) else v[index] for k, v in columns.items()
        }
        return type(self)(**picked)


@dataclass(frozen=True)
class Cut:
    """Linear functions `coefficients . x + constant` of the input `(n, d)`; error covers the rounding of all of it over the region."""

    coefficients: Tensor
    constant: Tensor
    error: Tensor
    middle: Tensor
    half: Tensor

    def __getitem__(self, index: Tensor) -> Cut:
        return Cut(*(getattr(self, field.name)[index] for field in fields(self)))

    def largest(self) -> Tensor:
        """Their proved maxima `(n,)` over the boxes, infinite where something was not finite."""
        value = self.constant + dot(self.coefficients, self.middle) + reach(self.coefficients, self.half)
        return proved(value + self.error)


@dataclass(frozen=True)
class PassErrors:
    """What a backward pass loses by rounding over each image's region: `(images, width)` and `(images, C)` for each network's outputs."""

    hidden: Tensor
    results: tuple[Tensor, ...]

    @classmethod
    def of(cls, errors: Sequence[Sequence[Tensor]]) -> PassErrors:
        """From the vectors of every network's layers, see `verify.rounding.pass_errors`."""
        hidden = [errors[0][-1][:, :0], *(layer for own in errors for layer in own[:-1])]
        return cls(torch.cat(hidden, dim=1), tuple(own[-1] for own in errors))

    def of_hidden(self, image: Tensor, descent: Descent) -> Tensor:
        """The error `(n,)` of rows below the outputs."""
        return dot(descent.inputs.abs(), self.hidden[image])

    def of_results(self, image: Tensor, point: Point) -> Tensor:
        """The error `(n,)` of rows at the outputs."""
        return torch.stack([dot(size, own[image]) for size, own in zip(point.sizes, self.results, strict=True)]).sum(
            dim=0
        )


class Engine:
    """Bounds of rows for one stack of networks."""

    def __init__(self, networks: Sequence[Network], errors: PassErrors, dtype: torch.dtype = torch.float32) -> None:
        self.exact, self.errors, self.dtype = Stack.of(networks, torch.float64), errors, dtype
        self._compiled = fits(self.exact)

    @cached_property
    def quick(self) -> Stack:
        """The networks in the type of the search."""
        return Stack.of(self.exact.networks, self.dtype)

    @cached_property
    def _prover(self) -> Prover | None:
        return Prover(self.exact, self.errors) if self._compiled else None

    @cached_property
    def _kernel(self) -> Kernel | None:
        return Kernel(self.quick) if self._compiled and self.dtype == torch.float32 else None

    def ground(self, region: Region) -> Ground:
        """The boxes of a region, a row each."""
        return Ground.of(self.exact, region, self.dtype)

    def search(self, task: Task, numbers: Tensor, free: Tensor, schedule: Schedule) -> Found:
        """Lower the bounds of the rows by projected Adam from these numbers; nothing here is a proof yet."""
        objective = task.objective(self.quick.dtype)
        if self._kernel is not None and self._kernel.knows(objective):
            return Found(*self._kernel.search(task, objective, (numbers, free), schedule))
        here = Evaluation(self.quick, task, objective)
        x = torch.cat((numbers, free), dim=1)
        width, loose = numbers.shape[1], here.neurons.loose
        low, high = torch.zeros_like(x), torch.full_like(x, torch.inf)
        low[:, width:], high[:, :width] = objective.least, torch.where(loose, 1.0, torch.inf)

        def rates() -> Tensor:
            own = (schedule.objective * objective.rates).expand_as(free)
            return torch.cat((schedule.rates(loose, here.outputs), own), dim=1)

        best, value = minimise(here.at, x, (low, high), schedule, rates)
        return Found(best[:, :width], best[:, width:], value, here.hidden, here.outputs, here.results, here.corner)

    def glance(self, task: Task, numbers: Tensor, free: Tensor) -> Tensor:
        """The bounds `(n,)` that these numbers give, not yet a proof."""
        return self.search(task, numbers, free, Schedule(steps=0)).value

    def cut(self, task: Task, numbers: Tensor, free: Tensor) -> Cut:
        """The linear function of the input, at least the objective on every row's part of its region, in float64.

        A proof whatever the numbers are: they are brought into their sets, and the rounding error is bounded.
        """
        stack = self.exact
        objective, lines, point = self._exactly(task, numbers, free)
        descent = stack.send_back(lines, point.forms)
        value = point.value + stack.constant(lines, descent, point.forms)
        for network, first in zip(stack.networks, descent.firsts, strict=True):
            value = value + first @ network.layers[0].bias
        error = objective.error(point) + lost(stack, lines, descent)
        error = error + self.errors.of_hidden(task.image, descent) + self.errors.of_results(task.image, point)
        region, index = task.ground.region, task.ground.index
        return Cut(stack.at_input(descent), value, 2 * error, region.middle[index], region.half[index])

    def prove(self, task: Task, numbers: Tensor, free: Tensor) -> Tensor:
        """Upper bounds `(n,)` of the rows in float64, rounded outward."""
        objective, lines, point = self._exactly(task, numbers, free)
        value, error = self.reached(
            task.image, task.ground, point.forms, lines, torch.arange(len(numbers), device=free.device)
        )
        error = error + objective.error(point) + self.errors.of_results(task.image, point)
        return proved(point.value + value + 2 * error)

    def reached(self, image: Tensor, ground: Ground, forms: Forms, lines: Lines, line: Tensor) -> tuple[Tensor, Tensor]:
        """What forms `(n, C)` of each network's outputs are at most over the rows' boxes, and what of that is lost by rounding, `(n,)`
        each, in float64; image, line `(n,)`: whose errors and lines a row has."""
        if self._prover is not None:
            return self._prover.reached(image, ground, forms, lines, line)
        split = [torch.split(index, ROWS) for index in (image, ground.index, line)]
        of_forms = zip(*(torch.split(form, ROWS) for form in forms), strict=True)
        found = [
            self._reached(own, ground.rows(box), part, lines.of_rows(row))
            for own, box, row, part in zip(*split, of_forms, strict=True)
        ]
        value, error = zip(*found, strict=True)
        return torch.cat(value), torch.cat(error)

    def _reached(self, image: Tensor, ground: Ground, forms: Forms, lines: Lines) -> tuple[Tensor, Tensor]:
        stack, index = self.exact, ground.index
        descent = stack.send_back(lines, forms)
        value = stack.constant(lines, descent, forms) + reach(stack.at_input(descent), ground.region.half[index])
        for end, first in zip(descent.firsts, ground.firsts, strict=True):
            value = value + dot(end, first[index])
        return value, self.errors.of_hidden(image, descent) + lost(stack, lines, descent)

    def _exactly(self, task: Task, numbers: Tensor, free: Tensor) -> tuple[Objective, Lines, Point]:
        """The objective, the lines and the objective's point in float64, whatever the numbers are: they are brought into their sets."""
        objective = task.objective(torch.float64)
        neurons = self.exact.neurons(*(side[:, : self.exact.width].double() for side in (task.lower, task.upper)))
        return (
            objective,
            neurons.lines(neurons.allowed(numbers.double())),
            objective.at(free.double().nan_to_num(0, 0, 0)),
        )


def lost(stack: Stack, lines: Lines, descent: Descent) -> Tensor:
    """The rounding error of the lines' constants in a descent."""
    return sum_error(dot(descent.outputs.clamp(min=0), lines.intercept), stack.terms)


class Evaluation:
    """The bound of some rows and its gradient, written out by hand: the gradient is the relaxation's own point."""

    def __init__(self, stack: Stack, task: Task, objective: Objective) -> None:
        self._stack, self._objective = stack, objective
        self.neurons = stack.neurons(*(side[:, : stack.width].to(stack.dtype) for side in (task.lower, task.upper)))
        ground = task.ground
        self._half = ground.half[ground.index]
        self._middle = torch.split(
            ground.middle[ground.index], [network.layers[0].outputs for network in stack.networks], dim=1
        )

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The bound `(n,)` and its gradient at the neurons' and the objective's numbers, side by side in `x`."""
        stack, width = self._stack, self._stack.width
        free, lines = x[:, width:], self.neurons.lines(x[:, :width])
        point = self._objective.at(free)
        descent = stack.send_back(lines, point.forms)
        self.corner = corner(stack.at_input(descent), self._half)
        firsts = [
            middle + network.layers[0].linear(self.corner)
            for middle, network in zip(self._middle, stack.networks, strict=True)
        ]
        self.hidden, results = stack.send_forth(lines, descent, firsts)
        self.outputs, self.results = descent.outputs, tuple(results)
        value = point.value + stack.constant(lines, descent, point.forms)
        for end, first in zip(descent.firsts, firsts, strict=True):
            value = value + dot(end, first)
        by_numbers = self.neurons.gradient(self.outputs, self.hidden)
        return value, torch.cat((by_numbers, self._objective.gradient(free, point, results)), dim=1)
