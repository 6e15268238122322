"""The bound of a row, its gradient, the search for its free numbers, and the proof (docs/branching.md, "The joint bound")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.crown import input_magnitudes
from verify.heads import Head
from verify.inputs import InputSpace
from verify.native.search import Bounds, Kernel
from verify.native.tighten import Tightener
from verify.pair import Descent, Lines, Neurons, Pair, dot, send_back, send_forth
from verify.problem import Alone, Problem
from verify.rounding import outward, pass_errors, proved, sum_error
from verify.rows import Rows, r_bounds
from verify.schedule import Schedule

# Rows that are worked on at once: enough to keep the processor busy, few enough to stay in its cache.
BATCH = 512


@dataclass(frozen=True)
class Found:
    """The end of a search: slopes `(n, width)`, free numbers of the head, and the bound that they gave `(n,)`.

    Of the last step: the relaxation's own pre-activations and the coefficients of the ReLUs' outputs `(n, width)`, the differences
    (up, down) `(n, C)`, and the corner `(n, d)` of the box as an offset from its center.
    """

    slopes: Tensor
    free: Tensor
    value: Tensor
    hidden: Tensor
    outputs: Tensor
    differences: tuple[Tensor, Tensor]
    corner: Tensor

    def __getitem__(self, index: Tensor) -> Found:
        up, down = self.differences
        return Found(
            self.slopes[index], self.free[index], self.value[index], self.hidden[index], self.outputs[index],
            (up[index], down[index]), self.corner[index],
        )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """Linear functions `coefficients . x + constant` of the input `(n, d)`; error covers the rounding of all of it over the region."""

    coefficients: Tensor
    constant: Tensor
    error: Tensor
    lower: Tensor
    upper: Tensor

    def __getitem__(self, index: Tensor) -> Cut:
        return Cut(
            self.coefficients[index], self.constant[index], self.error[index], self.lower[index], self.upper[index]
        )

    def largest(self) -> Tensor:
        """Their proved maxima `(n,)` over the regions, infinite where something was not finite."""
        corner = torch.where(self.coefficients > 0, self.upper, self.lower)
        return proved(self.constant + dot(self.coefficients, corner) + self.error)


class Engine:
    """Bounds of rows for one pair of networks over the regions of many images."""

    def __init__(self, problem: Problem, dtype: torch.dtype = torch.float32) -> None:
        teacher, student, region = problem.teacher, problem.student, problem.region
        self.exact = Pair.of((teacher, student), torch.float64)
        self.quick = Pair.of((teacher, student), dtype)
        self.inputs = InputSpace(region, self.exact, dtype)
        errors = [
            pass_errors(network, input_magnitudes(region, bounds, network.depth - 1), self.exact.terms)
            for network, bounds in zip((teacher, student), problem.layers(), strict=True)
        ]
        self._kernel = Kernel(self.quick) if Kernel.fits(self.quick, with_head=True) else None
        self.tightener: Tightener | None = None
        none = region.lower.new_zeros((len(region), 0))
        self.hidden_errors = torch.cat([none] + [e for own in errors for e in own[:-1]], dim=1)
        self.logit_errors = errors[0][-1], errors[1][-1]

    def root(self, image: Tensor, label: Tensor, sign: Tensor, alone: Alone) -> Rows:
        """The rows of these queries over the whole regions of their images, from bounds of each network alone."""
        lower, upper = self.exact.stack(*(layers[image] for layers in alone.layers))
        d_upper = torch.stack([upper_of[image, label] for upper_of in alone.differences], dim=1)
        d_lower = torch.stack([-upper_of[image, :, label] for upper_of in alone.differences], dim=1)
        is_label = torch.nn.functional.one_hot(label, d_upper.shape[2]).to(torch.bool)[:, None]
        d_lower, d_upper = d_lower.masked_fill(is_label, 0.0), d_upper.masked_fill(is_label, 0.0)
        r_lower, r_upper = r_bounds(d_lower, d_upper, is_label)
        whole = lower.new_ones((len(image), self.inputs.split))
        low = torch.cat((lower, d_lower.flatten(1), r_lower, -whole), dim=1)
        high = torch.cat((upper, d_upper.flatten(1), r_upper, whole), dim=1)
        boxes = outward(low, upper=False), outward(high, upper=True)
        return Rows(image, label, sign, *boxes, d_upper.shape[2], self.inputs.split)

    def start(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Adaptive slopes, and the head that touches at the center of the row's box of inputs."""
        low, high = rows.lower[:, : rows.width], rows.upper[:, : rows.width]
        slopes = ((low < 0) & (high > 0) & (high > -low)).to(self.quick.first.dtype)
        boxes = self.inputs.of(rows)
        teacher, student = (network(boxes.center[boxes.index]).to(slopes) for network in self.exact.networks)
        return slopes, Head.start(rows.boxes(slopes.dtype), rows.up_down(teacher, student))

    def search(self, rows: Rows, slopes: Tensor, free: Tensor, schedule: Schedule) -> Found:
        """Lower the bounds of the rows by projected Adam from `slopes` and `free`; nothing here is a proof yet."""
        dtype, width = self.quick.first.dtype, rows.width
        if self._kernel is not None:
            end = self._kernel.search(self._bounds(rows), slopes, free, schedule)
            differences = rows.up_down(*end.logits.split(rows.classes, dim=1))  # type: ignore[no-untyped-call]
            return Found(end.slopes, end.free, end.value, end.hidden, end.outputs, differences, end.corner)
        here = Evaluation(self, rows, rows.neurons(dtype), Head(rows.boxes(dtype)))
        x = torch.cat((slopes, free), dim=1)
        low, high = torch.full_like(x, -torch.inf), torch.full_like(x, torch.inf)
        low[:, : width + 2] = 0
        high[:, :width] = torch.where(here.neurons.unstable, 1.0, torch.inf)
        best, least = minimise(
            here.at, x, low, high, schedule, lambda: schedule.rates(here.neurons.unstable, here.outputs, rows.classes)
        )
        return Found(best[:, :width], best[:, width:], least, here.hidden, here.outputs, here.differences, here.corner)

    def glance(self, rows: Rows, slopes: Tensor, free: Tensor) -> Tensor:
        """The bounds `(n,)` that `slopes` and `free` give, not yet a proof."""
        if self._kernel is not None:
            return self._kernel.search(self._bounds(rows), slopes, free, Schedule(steps=0)).value
        pair = self.quick
        head, lines = Head(rows.boxes(pair.first.dtype)), rows.neurons(pair.first.dtype).lines(slopes)
        point = head.at(free)
        forms = head.forms(point, rows.sign)
        descent = send_back(pair, lines, forms)
        boxes = self.inputs.of(rows)
        spread = dot((descent.first @ pair.first).abs(), boxes.radius[boxes.index])
        return (
            point.value + constant(pair, lines, descent, forms) + spread + dot(descent.first, boxes.middle[boxes.index])
        )

    def cut(self, rows: Rows, slopes: Tensor, free: Tensor) -> Cut:
        """The linear function of the input, at least `p_up - p_down` on every row's part of its region, in float64.

        A proof whatever `slopes` and `free` are: they are brought into their sets, and the rounding error is bounded.
        """
        pair = self.exact
        neurons = rows.neurons(torch.float64)
        slopes = slopes.double().nan_to_num(0, 0, 0).clamp(min=0)
        lines = neurons.lines(torch.where(neurons.unstable, slopes.clamp(max=1), slopes))
        head = Head(rows.boxes(torch.float64))
        point = head.at(free.double().nan_to_num(0, 0, 0))
        forms = head.forms(point, rows.sign)
        descent = send_back(pair, lines, forms)
        value = point.value + constant(pair, lines, descent, forms) + descent.first @ pair.first_bias
        error = head.error(point) + dot(descent.inputs.abs(), self.hidden_errors[rows.image])
        for size, errors in zip(head.sizes(point, rows.sign), self.logit_errors, strict=True):
            error = error + dot(size, errors[rows.image])
        error = error + sum_error(dot(descent.outputs.clamp(min=0), lines.intercept), pair.terms)
        boxes = self.inputs.of(rows)
        return Cut(descent.first @ pair.first, value, 2 * error, boxes.lower[boxes.index], boxes.upper[boxes.index])

    def prove(self, rows: Rows, slopes: Tensor, free: Tensor) -> Tensor:
        """Upper bounds `(n,)` of the rows in float64, rounded outward."""
        return self.cut(rows, slopes, free).largest()

    def _bounds(self, rows: Rows) -> Bounds:
        """The rows for the compiled search."""
        boxes = self.inputs.of(rows)
        return Bounds(boxes.index, rows.lower, rows.upper, boxes.middle, boxes.radius, rows.label, rows.sign)


class Evaluation:
    """The bound of some rows and its gradient, written out by hand: the gradient is the relaxation's own point."""

    def __init__(self, engine: Engine, rows: Rows, neurons: Neurons, head: Head) -> None:
        self._pair, self._rows, self._head, self.neurons = engine.quick, rows, head, neurons
        boxes = engine.inputs.of(rows)
        self._middle, self._radius = boxes.middle[boxes.index], boxes.radius[boxes.index]

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The bound `(n,)` and its gradient `(n, width + 2 + 3 C)` at slopes and free numbers, side by side in `x`."""
        pair, rows, head = self._pair, self._rows, self._head
        slopes, free = x[:, : rows.width], x[:, rows.width :]
        lines = self.neurons.lines(slopes)
        point = head.at(free)
        forms = head.forms(point, rows.sign)
        descent = send_back(pair, lines, forms)
        self.corner = torch.copysign(self._radius, descent.first @ pair.first)
        first = torch.addmm(self._middle, self.corner, pair.first.T)
        self.hidden, (teacher, student) = send_forth(pair, lines, descent, first)
        self.outputs, self.differences = descent.outputs, rows.up_down(teacher, student)
        value = point.value + constant(pair, lines, descent, forms) + dot(descent.first, first)
        by_slopes = torch.where(self.neurons.unstable, self.outputs.clamp(max=0), self.neurons.sign) * self.hidden
        return value, torch.cat((by_slopes, head.gradient(free, point, *self.differences)), dim=1)


def minimise(
    at: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    low: Tensor,
    high: Tensor,
    schedule: Schedule,
    rates: Callable[[], Tensor],
) -> tuple[Tensor, Tensor]:
    """Projected Adam on each row of `x` `(n, k)` within `[low, high]`: the best iterates and their values `(n,)`.

    at: values and gradients; rates: asked for after the first evaluation.
    """
    x = torch.minimum(torch.maximum(x, low), high)
    first_moment, second_moment = torch.zeros_like(x), torch.zeros_like(x)
    best, least, rate = x, x.new_full((len(x),), torch.inf), x
    for step in range(schedule.steps + 1):
        value, gradient = at(x)
        better = value < least
        least, best = torch.where(better, value, least), torch.where(better[:, None], x, best)
        if step == schedule.steps:
            break
        rate = rates() if step == 0 else rate
        first_moment = torch.lerp(gradient, first_moment, 0.9)
        second_moment = torch.addcmul(second_moment * 0.99, gradient, gradient, value=0.01)
        scale = schedule.decay**step / (1 - 0.9 ** (step + 1))
        spread = (second_moment / (1 - 0.99 ** (step + 1))).sqrt_().add_(1e-12)
        x = torch.addcdiv(x, rate * first_moment, spread, value=-scale)
        x = torch.minimum(torch.maximum(x, low), high)
    return best, least


def constant(pair: Pair, lines: Lines, descent: Descent, forms: Sequence[Tensor]) -> Tensor:
    """The constants `(n,)` that the layers add to a form of both networks' logits, but for the first layers' biases."""
    total = dot(descent.outputs.clamp(min=0), lines.intercept) + descent.inputs @ pair.later_biases
    for network, form in zip(pair.networks, forms, strict=True):
        if network.depth > 1:
            total = total + form @ network.biases[-1]
    return total
