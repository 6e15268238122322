"""Branch and bound for single neurons, in batches: bounds of the hidden layers that all queries of an image share (docs/branching.md).

Layer after layer, the largest `z` and the largest `-z` of every loose neuron are sought over the region, split at the loose neurons
below it. The layers below are relaxed with the bounds just found, so that what one layer gains the next ones build on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from verify.joint.bound import BATCH
from verify.network.graph import Network
from verify.passes.bound import Engine, PassErrors, Task
from verify.passes.ground import Ground
from verify.passes.objective import Fixed
from verify.passes.optimise import Schedule
from verify.region import Region, dot
from verify.rounding import addends, outward, pass_errors
from verify.single.layers import LayerBounds

# The search for slopes of a whole region, and of a part of it from its parent's slopes.
ROOT, PART = Schedule(steps=20), Schedule(steps=10).scaled(0.7)
# Parts of one problem that are split in a round.
PICKS = 4
# A problem is done when its bound is this near to a value that was met, as a share of the neuron's box.
NEAR = 0.02


def refined(network: Network, region: Region, bounds: LayerBounds, leaves: int) -> LayerBounds:
    """Bounds of all layers, never wider than `bounds`; for each side of a loose neuron the region is cut into at most `leaves` parts."""
    for k in range(1, network.depth - 1):
        image, neuron = bounds.loose(k)
        if len(image):
            problems = NeuronProblems(network.upto(k), region, bounds.upto(k), image, neuron)
            known = torch.cat((bounds.upper[k][image, neuron], -bounds.lower[k][image, neuron]))
            found = problems.solve(known, leaves)
            bounds = bounds.tightened(k, (image, neuron), -found[len(image) :], found[: len(image)])
    return bounds


@dataclass(frozen=True)
class Parts:
    """Parts of regions.

    problem `(n,)`; lower, upper, numbers `(n, width)`; bound `(n,)` float64; variable `(n,)`: the neuron to split next, -1 for none.
    """

    problem: Tensor
    lower: Tensor
    upper: Tensor
    numbers: Tensor
    bound: Tensor
    variable: Tensor

    def __len__(self) -> int:
        return len(self.problem)

    def __getitem__(self, index: Tensor) -> Parts:
        return Parts(*(column[index] for column in self.columns()))

    def columns(self) -> tuple[Tensor, ...]:
        """Everything of a part, a tensor each."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @staticmethod
    def cat(batches: list[Parts]) -> Parts:
        """All of several batches."""
        return Parts(*map(torch.cat, zip(*(batch.columns() for batch in batches), strict=True)))


class NeuronProblems:
    """For outputs `(m,)` of a network over regions `(m,)`: the largest of each, then of minus each. below: the hidden layers."""

    def __init__(self, network: Network, region: Region, below: LayerBounds, image: Tensor, neuron: Tensor) -> None:
        one = torch.nn.functional.one_hot(neuron, network.classes).to(region.lower.dtype)
        self._image, self._form = torch.cat((image, image)), torch.cat((one, -one))
        errors = pass_errors(network.layers, below.magnitudes(network, region), addends((network,)))
        self._engine = Engine((network,), PassErrors.of((errors,)))
        self._ground = Ground.of(self._engine.exact, region, self._engine.quick.dtype)
        self._lower = outward(torch.cat(below.lower, dim=1), upper=False)
        self._upper = outward(torch.cat(below.upper, dim=1), upper=True)
        self._attained = torch.full_like(self._form[:, 0], -torch.inf)

    def solve(self, known: Tensor, leaves: int) -> Tensor:
        """Proved upper bounds `(2 m,)`, never above the `known` ones; at most `leaves` parts each."""
        count = len(known)
        width = (known + known.roll(count // 2)).clamp(min=0)
        problem = torch.arange(count, device=known.device)
        lower, upper = self._lower[self._image], self._upper[self._image]
        numbers = self._engine.quick.neurons(lower, upper).start(lower, upper)
        parts = self._bounded(Parts(problem, lower, upper, numbers, known, problem), ROOT)
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
        image, form = self._image[parts.problem], self._form[parts.problem]
        task = Task(image, self._ground.rows(image), parts.lower, parts.upper, lambda dtype: Fixed((form.to(dtype),)))
        found = self._engine.search(task, parts.numbers, parts.numbers[:, :0], schedule)
        bound = torch.minimum(self._engine.prove(task, found.numbers, found.free), parts.bound)
        self._visit(parts.problem, found.corner)
        neurons = self._engine.quick.neurons(parts.lower, parts.upper)
        cost = (found.outputs.abs() * neurons.intercept).masked_fill(~neurons.loose, 0.0)
        variable = torch.where(cost.amax(dim=1) > 0, cost.argmax(dim=1), -1)
        return Parts(parts.problem, parts.lower, parts.upper, found.numbers, bound, variable)

    def _visit(self, problem: Tensor, corner: Tensor) -> None:
        """Note what the outputs are at the corners that the relaxations point to."""
        points = (self._ground.region.middle[self._image[problem]] + corner).to(corner.dtype)
        outputs = self._engine.quick.networks[0](points)
        self._attained.scatter_reduce_(0, problem, dot(outputs.to(self._form.dtype), self._form[problem]), "amax")


def halves(parts: Parts) -> Parts:
    """Both sides of zero of each part's variable; a neuron that is no longer loose starts with the multiplier 0."""
    where = parts.variable[:, None]
    numbers = parts.numbers.scatter(1, where, 0.0)
    below, above = parts.upper.scatter(1, where, 0.0), parts.lower.scatter(1, where, 0.0)
    return Parts.cat(
        [
            Parts(parts.problem, parts.lower, below, numbers, parts.bound, parts.variable),
            Parts(parts.problem, above, parts.upper, numbers, parts.bound, parts.variable),
        ]
    )
