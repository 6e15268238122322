"""The joint bound of a measure's subproblems: from a query of an image to a task of the engine (docs/branching.md, "The joint bound")."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.joint.problem import Problem
from verify.measures.subproblem import Layout, Subproblems
from verify.passes.bound import Cut, Engine, Found, PassErrors, Task
from verify.passes.ground import Ground
from verify.passes.optimise import Schedule
from verify.rounding import addends, outward, pass_errors
from verify.single.alone import Alone

# Subproblems that are worked on at once: enough to keep the processor busy, few enough to stay in its cache.
BATCH = 512
# Up to so many inputs, subproblems carry a box of inputs and are split there, too.
MOST_INPUTS = 32


class JointBound:
    """Bounds of subproblems for one problem."""

    def __init__(self, problem: Problem, dtype: torch.dtype = torch.float32) -> None:
        self.problem, self.measure, self.region = problem, problem.measure, problem.region
        self.engine = Engine(problem.networks, self._errors(problem), dtype)
        self._whole = self.engine.ground(self.region)
        none = torch.zeros(0, dtype=torch.int64, device=self.region.lower.device)
        own, _ = self.measure.own(problem.tight, none, none)
        inputs = self.region.lower.shape[1]
        self.layout = Layout(self.engine.exact.width, own.shape[1], inputs if inputs <= MOST_INPUTS else 0)

    def root(self, image: Tensor, query: Tensor, alone: Alone) -> Subproblems:
        """These queries `(n,)` over the whole regions of their images, from bounds of each network alone."""
        lower, upper = self.measure.own(alone, image, query)
        layers = [bounds[image] for bounds in alone.layers]
        whole = lower.new_ones((len(image), self.layout.inputs))
        low = torch.cat([side for own in layers for side in own.lower[:-1]] + [lower, -whole], dim=1)
        high = torch.cat([side for own in layers for side in own.upper[:-1]] + [upper, whole], dim=1)
        return Subproblems(image, query, outward(low, upper=False), outward(high, upper=True), self.layout)

    def task(self, subproblems: Subproblems) -> Task:
        """What the engine is to bound."""
        ground = self.ground(subproblems)
        return Task(
            subproblems.image, ground, subproblems.lower, subproblems.upper,
            lambda dtype: self.measure.objective(subproblems, dtype),
        )  # fmt: skip

    def ground(self, subproblems: Subproblems) -> Ground:
        """The boxes of inputs of subproblems: their images' regions, or boxes of their own within them."""
        if not self.layout.inputs:
            return self._whole.rows(subproblems.image)
        shares = self.layout.shares
        low, high = (side[:, shares].double() for side in (subproblems.lower, subproblems.upper))
        region = self.region.split(subproblems.image, low, high)
        return self.engine.ground(region)

    def start(self, subproblems: Subproblems) -> tuple[Tensor, Tensor]:
        """Adaptive slopes, and free numbers of the measure that suit the middle of the box of inputs."""
        stack, ground = self.engine.exact, self.ground(subproblems)
        low, high = (side[:, self.layout.neurons].double() for side in (subproblems.lower, subproblems.upper))
        numbers = stack.neurons(low, high).start(low, high).to(self.engine.quick.dtype)
        teacher, student = (network(ground.region.middle[ground.index]).to(numbers) for network in stack.networks)
        return numbers, self.measure.start(subproblems, teacher, student)

    def search(self, subproblems: Subproblems, numbers: Tensor, free: Tensor, schedule: Schedule) -> Found:
        """See `Engine.search`."""
        return self.engine.search(self.task(subproblems), numbers, free, schedule)

    def glance(self, subproblems: Subproblems, numbers: Tensor, free: Tensor) -> Tensor:
        """See `Engine.glance`."""
        return self.engine.glance(self.task(subproblems), numbers, free)

    def cut(self, subproblems: Subproblems, numbers: Tensor, free: Tensor) -> Cut:
        """See `Engine.cut`."""
        return self.engine.cut(self.task(subproblems), numbers, free)

    def inherited(self, parent: Subproblems, child: Subproblems, numbers: Tensor) -> Tensor:
        """A parent's numbers for its child: where a neuron is no longer loose, its number is a multiplier, and starts at 0."""
        stack, neurons = self.engine.quick, self.layout.neurons
        before, after = (
            stack.neurons(rows.lower[:, neurons], rows.upper[:, neurons]).loose for rows in (parent, child)
        )
        return torch.where(before & ~after, 0.0, numbers)

    @staticmethod
    def _errors(problem: Problem) -> PassErrors:
        pairs = zip(problem.networks, problem.layers, strict=True)
        terms = addends(problem.networks)
        return PassErrors.of(
            [pass_errors(n.layers, bounds.magnitudes(n, problem.region), terms) for n, bounds in pairs]
        )
