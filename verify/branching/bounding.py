"""The work on nodes: bound, close or store them, split them, bound their children."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.branching.budget import Budget
from verify.branching.choice import Choice, split
from verify.branching.ledger import Ledger
from verify.branching.pool import Nodes, Pool
from verify.branching.pseudo_costs import PseudoCosts
from verify.branching.target import Target
from verify.joint.bound import BATCH, JointBound
from verify.joint.tightening import Tightening
from verify.measures.subproblem import Subproblems
from verify.passes.optimise import Schedule


@dataclass(frozen=True)
class Effort:
    """What a node is worth: the first search, the number of tightenings, and the search after each."""

    first: Schedule
    later: Schedule
    tightenings: int


@dataclass(frozen=True)
class Flight:
    """Subproblems that are being worked on, in no pool, with the bounds that they have: what an interruption must not lose."""

    subproblems: Subproblems
    bound: Tensor


class Bounding:
    """Nodes of all images. pool: the open ones, None before there are any."""

    def __init__(self, joint: JointBound, target: Target, ledger: Ledger, budget: Budget) -> None:
        self._joint, self._target, self._ledger, self._budget = joint, target, ledger, budget
        self._history = PseudoCosts(joint)
        self._choose, self._tighten = Choice(joint, self._history), Tightening(joint)
        self.pool: Pool | None = None
        self._flight: Flight | None = None

    def roots(self, subproblems: Subproblems, bound: Tensor, effort: Effort) -> None:
        """Begin with these queries, of which `bound` `(n,)` is known."""
        self._flight = Flight(subproblems, bound)
        self._history.open(subproblems)
        for part in torch.split(torch.arange(len(subproblems), device=bound.device), BATCH):
            own = subproblems[part]
            numbers, free = self._joint.start(own)
            # Its own bound alone: what is known of the whole query says nothing of which part to split.
            self._bound(Nodes.begun(own, numbers, free, torch.full_like(bound[part], torch.inf)), effort)
        self._flight = None

    def branch(self, slots: Tensor, effort: Effort) -> None:
        """Split the nodes of these slots and bound the children."""
        assert self.pool is not None
        nodes = self.pool.peek(slots)
        self._flight = Flight(nodes.subproblems, nodes.bound)
        self.pool.remove(slots)
        hopeful = nodes.bound > self._target.level(nodes.subproblems.image)
        self._ledger.close(nodes.subproblems, nodes.bound, ~hopeful)
        nodes = nodes[hopeful]
        if len(nodes):
            children = Subproblems.cat(split(nodes.subproblems, nodes.variable, nodes.value))
            for part in torch.split(torch.arange(len(children), device=slots.device), BATCH):
                parents = nodes[part % len(nodes)]
                if self._budget.late:
                    self._store(parents)
                else:
                    self._children(parents, children[part], part // len(nodes), effort)
        self._flight = None

    def end(self, image: int) -> None:
        """An image ends: the bounds of its open nodes enter the ledger."""
        if self.pool is not None:
            nodes = self.pool.peek(self._slots(image))
            self._ledger.close(nodes.subproblems, nodes.bound)
        self.forget(image)

    def forget(self, image: int) -> None:
        """Drop an image's open nodes and what their splits have shown."""
        if self.pool is not None:
            self.pool.remove(self._slots(image))
        self._history.close(image)

    def interrupted(self) -> None:
        """What was being worked on keeps the bounds that it had."""
        if self._flight is not None:
            self._ledger.close(self._flight.subproblems, self._flight.bound)

    def _children(self, parents: Nodes, children: Subproblems, side: Tensor, effort: Effort) -> None:
        """Bound children, each beside its parent, on the side (0: below) of its split."""
        level = self._target.level(children.image)
        narrowed, hopeless = self._joint.measure.narrow(children, level)
        empty = hopeless | narrowed.empty
        self._budget.count(children.image[empty])
        self._ledger.close(children, level, empty)
        bound = level.clone()
        left = (~empty).nonzero()[:, 0]
        if len(left):
            own, some = parents[left], narrowed[left]
            numbers = self._joint.inherited(own.subproblems, some, own.numbers)
            bound[left] = self._bound(Nodes.begun(some, numbers, own.free, own.bound), effort)
        gain = parents.bound - torch.maximum(bound, level)
        self._history.record(children, parents.variable, side, gain, parents.cost)

    def _bound(self, nodes: Nodes, effort: Effort) -> Tensor:
        """Bound nodes, close those that are at their level, store the others with their next split; returns their bounds."""
        joint = self._joint
        rows, numbers, free, bound = nodes.subproblems, nodes.numbers, nodes.free, nodes.bound
        self._budget.count(rows.image)
        bounds, place = bound.clone(), torch.arange(len(rows), device=bound.device)
        for attempt in range(effort.tightenings + 1):
            level = self._target.level(rows.image)
            narrowed, hopeless = joint.measure.narrow(rows, level)
            bound = torch.where(hopeless | narrowed.empty, level, bound)
            numbers, rows = joint.inherited(rows, narrowed, numbers), narrowed
            found = joint.search(rows, numbers, free, effort.later if attempt else effort.first)
            cut = joint.cut(rows, found.numbers, found.free)
            bound = torch.minimum(torch.maximum(cut.largest(), level), bound)
            bounds[place] = bound
            self._target.meet(joint, rows, found.corner)
            level = self._target.level(rows.image)
            self._ledger.close(rows, bound, bound <= level)
            left = ~(bound <= level)
            if not left.any():
                return bounds
            rows, found, cut, bound = rows[left], found[left], cut[left], bound[left]
            level, place = level[left], place[left]
            numbers, free = found.numbers, found.free
            if attempt < effort.tightenings:
                tightened = self._tighten(rows, cut, level)
                numbers, rows = joint.inherited(rows, tightened, numbers), tightened
        *choice, hopeful = self._choose(rows, found, level)
        self._target.stuck(rows.image[~hopeful])
        self._store(Nodes(rows, found.numbers, found.free, bound, *choice))
        return bounds

    def _store(self, nodes: Nodes) -> None:
        """Keep open nodes; where the memory's limit is reached, the images with the most of them end."""
        if self.pool is None:
            self.pool = Pool(nodes, self._joint.problem.options.max_bytes)
        while True:
            ended = self._budget.ended[nodes.subproblems.image]
            self._ledger.close(nodes.subproblems, nodes.bound, ended)
            nodes = nodes[~ended]
            if len(nodes) <= self.pool.room():
                break
            _, image, *_ = self.pool.listing()
            counts = torch.bincount(torch.cat((image, nodes.subproblems.image)), minlength=len(self._budget.nodes))
            fullest = int(counts.argmax())
            self._budget.end(fullest, "memory-limit")
            self.end(fullest)
        self.pool.add(nodes)

    def _slots(self, image: int) -> Tensor:
        """The slots of an image's open nodes."""
        assert self.pool is not None
        slots, images, *_ = self.pool.listing()
        return slots[images == image]
