"""Branch and bound for single neurons, in batches: bounds of the hidden layers that all queries of an image share (docs/branching.md).

Layer after layer, the largest `z` and the largest `-z` of every unstable neuron are sought over the region, split at the unstable ReLUs
below it. The layers below are relaxed with the bounds just found, so that what one layer gains the next ones build on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.crown import input_magnitudes
from verify.engine import BATCH, constant, minimise
from verify.interval import LayerBounds
from verify.native.search import Bounds, Kernel
from verify.network import ReluNetwork
from verify.pair import Neurons, Pair, dot, send_back, send_forth
from verify.region import Region
from verify.rounding import least, most, outward, pass_errors, proved, sum_error
from verify.schedule import Schedule

# The search for slopes of a whole region, and of a part of it from its parent's slopes.
ROOT, PART = Schedule(steps=20), Schedule(steps=10).scaled(0.7)
# Parts of one problem that are split in a round.
PICKS = 4
# A problem is done when its bound is this near to a value that was met, as a share of the neuron's box.
NEAR = 0.02


def refined(network: ReluNetwork, region: Region, bounds: LayerBounds, leaves: int) -> LayerBounds:
    """Bounds of all layers, never wider than `bounds`.

    For each side of an unstable hidden neuron the region is cut into at most `leaves` parts.
    """
    lowers, uppers = list(bounds.lower), list(bounds.upper)
    for k in range(1, network.depth - 1):
        low, high = lowers[k].clone(), uppers[k].clone()
        image, neuron = ((low < 0) & (high > 0)).nonzero(as_tuple=True)
        if len(image):
            below = LayerBounds(tuple(lowers[:k]), tuple(uppers[:k]))
            problems = NeuronProblems(network, region, below, image, neuron)
            found = problems.solve(torch.cat((high[image, neuron], -low[image, neuron])), leaves)
            high[image, neuron] = least(high[image, neuron], found[: len(image)])
            low[image, neuron] = most(low[image, neuron], -found[len(image) :])
        lowers[k], uppers[k] = low, high
    return LayerBounds(tuple(lowers), tuple(uppers))


@dataclass(frozen=True)
class Parts:
    """Parts of regions.

    problem `(n,)`; lower, upper, slopes `(n, width)`; bound `(n,)` float64; variable `(n,)`: the neuron to split next, -1 for none.
    """

    problem: Tensor
    lower: Tensor
    upper: Tensor
    slopes: Tensor
    bound: Tensor
    variable: Tensor

    def __len__(self) -> int:
        return len(self.problem)

    def __getitem__(self, index: Tensor) -> Parts:
        return Parts(*(column[index] for column in self.columns()))

    def columns(self) -> tuple[Tensor, ...]:
        """Everything of a part, a tensor each."""
        return self.problem, self.lower, self.upper, self.slopes, self.bound, self.variable

    @staticmethod
    def cat(batches: list[Parts]) -> Parts:
        """All of several batches."""
        return Parts(*(torch.cat(column) for column in zip(*(batch.columns() for batch in batches), strict=True)))


class NeuronProblems:
    """For neurons `(m,)` of images `(m,)`, all in the layer above `below`: the largest `z` of each, then the largest `-z` of each."""

    def __init__(self, network: ReluNetwork, region: Region, below: LayerBounds, image: Tensor, neuron: Tensor) -> None:
        k = len(below.lower)
        prefix = network[: k + 1]
        self._exact, self._quick = Pair.of((prefix,), torch.float64), Pair.of((prefix,), torch.float32)
        one = torch.nn.functional.one_hot(neuron, len(network.biases[k])).to(region.lower.dtype)
        self._image, self._form = torch.cat((image, image)), torch.cat((one, -one))
        self._region, self._center = region, (region.lower + region.upper) / 2
        self._radius = ((region.upper - region.lower) / 2).float()
        self._middle = (self._center @ self._exact.first.T + self._exact.first_bias).float()
        fits = Kernel.fits(self._quick, with_head=False)
        self._kernel = Kernel(self._quick) if fits else None
        errors = pass_errors(prefix, input_magnitudes(region, below, k), self._exact.terms)
        self._hidden_errors, self._form_errors = torch.cat(errors[:-1], dim=1), errors[-1]
        self._lower, self._upper = (
            outward(torch.cat(below.lower, dim=1), upper=False),
            outward(torch.cat(below.upper, dim=1), upper=True),
        )
        self._attained = torch.full_like(self._form[:, 0], -torch.inf)

    def solve(self, known: Tensor, leaves: int) -> Tensor:
        """Proved upper bounds `(2 m,)`, never above the `known` ones; at most `leaves` parts each."""
        count = len(known)
        width = (known + known.roll(count // 2)).clamp(min=0)
        problem = torch.arange(count, device=known.device)
        lower, upper = self._lower[self._image], self._upper[self._image]
        slopes = ((lower < 0) & (upper > 0) & (upper > -lower)).to(lower.dtype)
        parts = self._bounded(Parts(problem, lower, upper, slopes, known, problem), ROOT)
        closed, used = torch.full_like(known, -torch.inf), torch.ones_like(problem)
        while True:
            # Below zero the neuron is stable: nothing more is needed.
            enough = (self._attained + NEAR * width).clamp(min=0)
            done = (parts.bound <= enough[parts.problem]) | (parts.variable < 0)
            closed.scatter_reduce_(0, parts.problem[done], parts.bound[done], "amax")
            parts = parts[~done]
            chosen = self._worst(parts, closed, used, leaves)
            if not chosen.any():
                break
            parents = parts[chosen]
            used.index_add_(0, parents.problem, torch.ones_like(parents.problem))
            parts = Parts.cat([parts[~chosen], self._bounded(halves(parents), PART)])
        return closed.scatter_reduce(0, parts.problem, parts.bound, "amax")

    def _worst(self, parts: Parts, closed: Tensor, used: Tensor, leaves: int) -> Tensor:
        """Truth values: the parts with each problem's largest bounds, where splitting them can still lower it."""
        order = parts.bound.argsort(descending=True, stable=True)
        order = order[parts.problem[order].argsort(stable=True)]
        problem = parts.problem[order]
        rank = torch.arange(len(order), device=order.device) - torch.searchsorted(problem, problem)
        wanted = (rank < PICKS) & (used[problem] + rank < leaves) & (parts.bound[order] > closed[problem])
        return torch.zeros_like(wanted).scatter(0, order, wanted)

    def _bounded(self, parts: Parts, schedule: Schedule) -> Parts:
        """The parts with bounds of their own, never above those that they have, and what to split next."""
        index = torch.arange(len(parts), device=parts.problem.device)
        return Parts.cat([self._bound(parts[batch], schedule) for batch in torch.split(index, BATCH)])

    def _bound(self, parts: Parts, schedule: Schedule) -> Parts:
        slopes, outputs, corner = self._search(parts, schedule)
        bound = torch.minimum(self._proved(parts, slopes), parts.bound)
        self._visit(parts.problem, corner)
        neurons = Neurons.of(parts.lower, parts.upper)
        cost = (outputs.abs() * neurons.intercept).masked_fill(~neurons.unstable, 0.0)
        variable = torch.where(cost.amax(dim=1) > 0, cost.argmax(dim=1), -1)
        return Parts(parts.problem, parts.lower, parts.upper, slopes, bound, variable)

    def _search(self, parts: Parts, schedule: Schedule) -> tuple[Tensor, Tensor, Tensor]:
        """Better slopes, the coefficients of the ReLUs' outputs `(n, width)`, and the corner `(n, d)`; nothing here is a proof yet."""
        pair, image = self._quick, self._image[parts.problem]
        form = self._form[parts.problem].to(pair.first.dtype)
        if self._kernel is not None:
            bounds = Bounds(image, parts.lower, parts.upper, self._middle, self._radius)
            end = self._kernel.search(bounds, parts.slopes, form, schedule)
            return end.slopes, end.outputs, end.corner
        neurons = Neurons.of(parts.lower, parts.upper)
        middle, radius = self._middle[image], self._radius[image]
        outputs, corner = torch.zeros_like(parts.slopes), torch.zeros_like(radius)

        def at(slopes: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal outputs, corner
            lines = neurons.lines(slopes)
            descent = send_back(pair, lines, (form,))
            outputs, corner = descent.outputs, torch.copysign(radius, descent.first @ pair.first)
            first = torch.addmm(middle, corner, pair.first.T)
            hidden, _ = send_forth(pair, lines, descent, first)
            by_slopes = torch.where(neurons.unstable, outputs.clamp(max=0), neurons.sign) * hidden
            return constant(pair, lines, descent, (form,)) + dot(descent.first, first), by_slopes

        low, high = torch.zeros_like(parts.slopes), torch.where(neurons.unstable, 1.0, torch.inf)
        best, _ = minimise(
            at, parts.slopes, low, high, schedule, lambda: schedule.neuron_rates(neurons.unstable, outputs)
        )
        return best, outputs, corner

    def _proved(self, parts: Parts, slopes: Tensor) -> Tensor:
        """Upper bounds `(n,)` in float64, rounded outward, whatever the slopes are: they are brought into their sets."""
        pair, image, form = self._exact, self._image[parts.problem], self._form[parts.problem]
        neurons = Neurons.of(parts.lower.to(form.dtype), parts.upper.to(form.dtype))
        slopes = slopes.to(form.dtype).nan_to_num(0, 0, 0).clamp(min=0)
        lines = neurons.lines(torch.where(neurons.unstable, slopes.clamp(max=1), slopes))
        descent = send_back(pair, lines, (form,))
        coefficients = descent.first @ pair.first
        corner = torch.where(coefficients > 0, self._region.upper[image], self._region.lower[image])
        value = constant(pair, lines, descent, (form,)) + descent.first @ pair.first_bias + dot(coefficients, corner)
        error = dot(descent.inputs.abs(), self._hidden_errors[image]) + dot(form.abs(), self._form_errors[image])
        error = error + sum_error(dot(descent.outputs.clamp(min=0), lines.intercept), pair.terms)
        return proved(value + 2 * error)

    def _visit(self, problem: Tensor, corner: Tensor) -> None:
        """Note what the neurons' values are at the corners that the relaxations point to."""
        pair, image = self._quick, self._image[problem]
        logits = pair.networks[0]((self._center[image] + corner).to(corner.dtype))
        self._attained.scatter_reduce_(0, problem, dot(logits.to(self._form.dtype), self._form[problem]), "amax")


def halves(parts: Parts) -> Parts:
    """Both sides of zero of each part's variable; a neuron that is no longer unstable starts with the multiplier 0."""
    where = parts.variable[:, None]
    slopes = parts.slopes.scatter(1, where, 0.0)
    below, above = parts.upper.scatter(1, where, 0.0), parts.lower.scatter(1, where, 0.0)
    return Parts.cat(
        [
            Parts(parts.problem, parts.lower, below, slopes, parts.bound, parts.variable),
            Parts(parts.problem, above, parts.upper, slopes, parts.bound, parts.variable),
        ]
    )
