"""Proofs that two networks never decide differently on a region, both at once (docs/branching.md, "Agreement").

For classes `a != b` the inputs where the teacher can decide a and the student b satisfy `z_t,a - z_t,j >= 0` and `z_s,b - z_s,j >= 0`
for all j. If some average of these margins is negative everywhere, there is no such input, under any tie-breaking. The average's
weights are optimised with the slopes; its linear bound is a cut (level 0) that tightens both networks, and ReLUs are split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.engine import BATCH, Cut, Engine, constant, minimise
from verify.pair import Lines, dot, send_back, send_forth
from verify.problem import Problem
from verify.rounding import sum_error
from verify.rows import Rows
from verify.schedule import Schedule
from verify.splits import inherited, split
from verify.tightening import tighten

SEARCH = Schedule(steps=25)


def always_agree(problem: Problem, *, max_nodes: int = 400) -> Tensor:
    """`(n,)` truth values: is it proved that teacher and student decide alike everywhere in the region, whatever the class.

    max_nodes: an image; where it is reached the answer is False.
    """
    engine = Engine(problem)
    states = _roots(problem, engine)
    nodes = torch.zeros(len(problem.region), dtype=torch.int64, device=problem.emplb.device)
    failed = torch.zeros_like(nodes, dtype=torch.bool)
    while len(states.rows):
        nodes.index_add_(0, states.rows.image, torch.ones_like(states.rows.image))
        parts = torch.split(torch.arange(len(states.rows), device=nodes.device), BATCH)
        left, stuck = zip(*(_step(engine, states[part]) for part in parts), strict=True)
        states = States.cat(left)
        failed[torch.cat(stuck)] = True
        failed[states.rows.image] |= nodes[states.rows.image] >= max_nodes
        states = states[~failed[states.rows.image]]
    return ~failed


@dataclass(frozen=True)
class States:
    """Rows labelled with the teacher's class; the student's class `other` `(n,)`, slopes `(n, width)`, logits `(n, 2 C)` of the weights."""

    rows: Rows
    other: Tensor
    slopes: Tensor
    logits: Tensor

    def __getitem__(self, index: Tensor) -> States:
        return States(self.rows[index], self.other[index], self.slopes[index], self.logits[index])

    @staticmethod
    def cat(parts: Sequence[States]) -> States:
        """All of several batches."""
        return States(
            Rows.cat([part.rows for part in parts]),
            torch.cat([part.other for part in parts]),
            torch.cat([part.slopes for part in parts]),
            torch.cat([part.logits for part in parts]),
        )

    def forms(self, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Weights `(n, 2 C)`, the forms of teacher's and student's logits `(n, C)`, and the sums of absolute values in them."""
        classes = self.rows.classes
        picked = torch.cat([torch.nn.functional.one_hot(c, classes) for c in (self.rows.label, self.other)], dim=1)
        weights = self.logits.to(dtype).masked_fill(picked.bool(), -torch.inf).softmax(dim=1)
        halves = zip(weights.split(classes, dim=1), picked.to(dtype).split(classes, dim=1), strict=True)  # type: ignore[no-untyped-call]
        pairs = [(own * w.sum(dim=1, keepdim=True), w) for w, own in halves]
        return weights, (pairs[0][0] - pairs[0][1], pairs[1][0] - pairs[1][1]), (sum(pairs[0]), sum(pairs[1]))


def _roots(problem: Problem, engine: Engine) -> States:
    """A state for every pair of different classes that no bound of one network alone excludes."""
    alone = problem.tight()
    # A class is impossible only where some difference is proved negative; NaN and infinity leave it possible.
    possible = [~(upper.amin(dim=1) < 0) for upper in alone.differences]
    both = possible[0][:, :, None] & possible[1][:, None, :]
    both &= ~torch.eye(problem.classes, dtype=torch.bool, device=both.device)
    image, label, other = both.nonzero(as_tuple=True)
    rows = engine.root(image, label, torch.zeros_like(image), alone)
    slopes, _ = engine.start(rows)
    return States(rows, other, slopes, slopes.new_zeros((len(image), 2 * problem.classes)))


def _step(engine: Engine, states: States) -> tuple[States, Tensor]:
    """Two children of each state that is not proved empty, and the images of those that have no ReLU to split."""
    for attempt in range(2):
        states, outputs = _search(engine, states)
        cut = _cut(engine, states)
        left = ~(cut.largest() < 0)
        states, outputs, cut = states[left], outputs[left], cut[left]
        if len(states.rows) and attempt == 0:
            rows = tighten(engine, states.rows, cut, torch.zeros_like(cut.constant))
            states = States(rows, states.other, inherited(states.rows, rows, states.slopes), states.logits)
            possible = ~(rows.lower > rows.upper).any(dim=1)
            states = states[possible]
    neurons = states.rows.neurons(outputs.dtype)
    stuck = ~neurons.unstable.any(dim=1)
    images = states.rows.image[stuck]
    states, cost = states[~stuck], (outputs.abs() * neurons.intercept).masked_fill(~neurons.unstable, -1.0)[~stuck]
    if len(cost) == 0:
        return states, images
    children = split(states.rows, cost.argmax(dim=1), cost.new_zeros(len(cost)))
    halves = [
        States(rows, states.other, inherited(states.rows, rows, states.slopes), states.logits) for rows in children
    ]
    return States.cat(halves), images


def _search(engine: Engine, states: States) -> tuple[States, Tensor]:
    """Better slopes and weights, and the coefficients of the ReLUs' outputs `(n, width)` at the last step."""
    pair, rows, width = engine.quick, states.rows, states.rows.width
    neurons = rows.neurons(pair.first.dtype)
    boxes = engine.inputs.of(rows)
    middle, radius = boxes.middle[boxes.index], boxes.radius[boxes.index]
    outputs = torch.zeros_like(states.slopes)

    def at(x: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal outputs
        weights, forms, _ = States(rows, states.other, x[:, :width], x[:, width:]).forms(x.dtype)
        lines = neurons.lines(x[:, :width])
        descent = send_back(pair, lines, forms)
        outputs = descent.outputs
        first = torch.addmm(middle, torch.copysign(radius, descent.first @ pair.first), pair.first.T)
        hidden, (teacher, student) = send_forth(pair, lines, descent, first)
        by_slopes = torch.where(neurons.unstable, outputs.clamp(max=0), neurons.sign) * hidden
        margins = torch.cat(
            (teacher.gather(1, rows.label[:, None]) - teacher, student.gather(1, states.other[:, None]) - student),
            dim=1,
        )
        by_logits = weights * (margins - dot(weights, margins)[:, None])
        return constant(pair, lines, descent, forms) + dot(descent.first, first), torch.cat(
            (by_slopes, by_logits), dim=1
        )

    x = torch.cat((states.slopes, states.logits), dim=1)
    low, high = torch.full_like(x, -torch.inf), torch.full_like(x, torch.inf)
    low[:, :width] = 0
    high[:, :width] = torch.where(neurons.unstable, 1.0, torch.inf)

    def rates() -> Tensor:
        of_logits = torch.full_like(states.logits, SEARCH.logits)
        return torch.cat((SEARCH.neuron_rates(neurons.unstable, outputs), of_logits), dim=1)

    best, _ = minimise(at, x, low, high, SEARCH, rates)
    return States(rows, states.other, best[:, :width], best[:, width:]), outputs


def _cut(engine: Engine, states: States) -> Cut:
    """The linear function of the input that is at least the average margin, in float64, with its rounding error."""
    pair, rows = engine.exact, states.rows
    neurons = rows.neurons(torch.float64)
    slopes = states.slopes.double().nan_to_num(0, 0, 0).clamp(min=0)
    lines: Lines = neurons.lines(torch.where(neurons.unstable, slopes.clamp(max=1), slopes))
    finite = States(rows, states.other, slopes, states.logits.double().nan_to_num(0, 0, 0))
    _, forms, sizes = finite.forms(torch.float64)
    descent = send_back(pair, lines, forms)
    value = constant(pair, lines, descent, forms) + descent.first @ pair.first_bias
    error = dot(descent.inputs.abs(), engine.hidden_errors[rows.image])
    for size, errors in zip(sizes, engine.logit_errors, strict=True):
        error = error + dot(size, errors[rows.image])
    error = error + sum_error(dot(descent.outputs.clamp(min=0), lines.intercept), pair.terms)
    boxes = engine.inputs.of(rows)
    return Cut(descent.first @ pair.first, value, 2 * error, boxes.lower[boxes.index], boxes.upper[boxes.index])
