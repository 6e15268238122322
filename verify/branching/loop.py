"""Branch and bound over both networks at once (docs/branching.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.branching.bounding import Bounding, Effort
from verify.branching.budget import Budget
from verify.branching.choice import FEW_INPUTS
from verify.branching.ledger import Ledger
from verify.branching.neurons import refined
from verify.branching.pool import Pool
from verify.branching.target import Target
from verify.joint.bound import BATCH, JointBound
from verify.joint.problem import Problem, Progress
from verify.passes.optimise import Schedule
from verify.single.alone import Alone
from verify.single.crown import upper_bound
from verify.single.differences import difference_rows

# Images that are worked on at once; the others wait.
ACTIVE = 32
# See `Plan.picks`; where there are few inputs a node costs next to nothing, and a round its overhead.
PICKS_OF_FEW_INPUTS = 16, BATCH // 2, 0.5
# Images that are sharpened in a round.
SHARPENED = 8


ROOT = Effort(Schedule(steps=60, decay=0.96), Schedule(steps=30), 3)
NODE = Effort(Schedule(steps=20).scaled(0.5), Schedule(steps=10).scaled(0.5), 1)


@dataclass(frozen=True)
class Plan:
    """How the work is done: what a root and what a node are worth; stages: after how many nodes since its last root an image's neurons are
    bounded anew, with how many leaves a side; picks: nodes of one image that are split in a round, at least, at most, and as a part of
    those it has had."""

    root: Effort = ROOT
    node: Effort = NODE
    stages: tuple[tuple[int, int], ...] = ((48, 8), (600, 64))
    picks: tuple[int, int, float] = 8, BATCH // 8, 0.125


PLAN = Plan()


class Loop:
    """The tree of every image that is not closed yet: which of them are worked on, and which nodes are split next."""

    def __init__(self, problem: Problem, best: Tensor, target: Target, plan: Plan = PLAN) -> None:
        n, device = len(best), best.device
        self._problem, self._plan, self._target = problem, plan, target
        self._joint = JointBound(problem)
        self.budget, self.ledger = Budget(n, problem.options, device), Ledger(best, problem.measure)
        self._bounding = Bounding(self._joint, target, self.ledger, self.budget)
        self._wanted = problem.measure.wanted().to(device)
        self._alone, self._stage, self._since = problem.tight, [0] * n, torch.zeros_like(self.budget.nodes)
        self.root = self.ledger.best.amax(dim=1)
        self.interrupted = False
        self._reported = time.perf_counter()
        below = self.root <= target.level(torch.arange(n, device=device))
        self._waiting: list[int] = []
        self._active: list[int] = []
        for image, (done, usable) in enumerate(zip(below.tolist(), self._alone.representable().tolist(), strict=True)):
            if done or not usable:
                self.budget.end(image, "closed" if done else "overflow")
            else:
                self._waiting.append(image)

    def run(self) -> None:
        """Work until every image is closed or has reached a limit; Ctrl-C ends all of them and sets `interrupted`."""
        try:
            while self._active or self._waiting:
                begun, before = time.perf_counter(), self.budget.nodes.clone()
                if self._waiting and len(self._active) <= ACTIVE // 2:
                    self._admit(ACTIVE - len(self._active))
                self._round()
                self._sharpen()
                self.budget.account(time.perf_counter() - begun, self.budget.nodes - before)
                self._retire()
                self._report()
        except KeyboardInterrupt:
            self.interrupted = True
            self._bounding.interrupted()
            self._abandon("interrupted")
            for image in list(self._active):
                self._end(image, "interrupted")

    def bounds(self) -> Tensor:
        """What is proved of every query, `(n, queries)`, whatever is still open."""
        return self.ledger.bounds(self._bounding.pool)

    def _admit(self, count: int) -> None:
        """Begin with the next images."""
        images = torch.tensor(self._waiting[:count], device=self.root.device)
        self._active, self._waiting = self._active + self._waiting[:count], self._waiting[count:]
        self._open(images)
        self.ledger.lower(images, self.bounds()[images])
        self.root[images] = self.ledger.best[images].amax(dim=1)

    def _open(self, images: Tensor) -> None:
        """The roots of the open queries of some images."""
        best = self.ledger.best[images]
        wanted = (best > self._target.level(images)[:, None]) & self._wanted
        place, query = wanted.nonzero(as_tuple=True)
        self.ledger.begin(images, wanted)
        self._bounding.roots(self._joint.root(images[place], query, self._alone), best[wanted], self._plan.root)

    def _round(self) -> None:
        """Split some nodes of every active image and bound the children."""
        pool = self._bounding.pool
        if pool is not None and pool.count:
            self._bounding.branch(self._pick(pool), self._plan.node)

    def _pick(self, pool: Pool) -> Tensor:
        """Slots of the nodes to split: of every active image those with the largest bounds, as many as its own history allows."""
        slots, image, _, bound = pool.listing()
        order = bound.argsort(descending=True, stable=True)
        order = order[image[order].argsort(stable=True)]
        image = image[order]
        first = torch.searchsorted(image, image)
        few = 0 < self._joint.layout.inputs <= FEW_INPUTS
        least, most, share = PICKS_OF_FEW_INPUTS if few else self._plan.picks
        allowed = (self.budget.nodes.double() * share).long().clamp(least, most)
        left = self.budget.left()
        if left is not None:
            allowed = torch.minimum(allowed, left)
        chosen = torch.arange(len(image), device=image.device) - first < allowed[image]
        return slots[order[chosen]]

    def _sharpen(self) -> None:
        """Bound the neurons of images that stay open by branch and bound of their own, and begin anew with them."""
        count, since = self._open_counts(), self.budget.nodes - self._since
        for stage, (nodes, leaves) in enumerate(self._plan.stages):
            late = [k for k in self._active if count[k] and self._stage[k] == stage and since[k] >= nodes][:SHARPENED]
            if not late or self.budget.late:
                continue
            images = torch.tensor(late, device=self.root.device)
            self._alone = self._alone.tightened(images, sharpened(self._problem, self._alone[images], images, leaves))
            every = torch.arange(len(self.root), device=images.device)
            self.ledger.lower(every, self.bounds())
            self.ledger.keep(images)
            for image in late:
                self._bounding.forget(image)
                self._stage[image] = stage + 1
            self._since[images] = self.budget.nodes[images]
            self._open(images)

    def _retire(self) -> None:
        """Take images that are closed or at a limit from the active ones."""
        count, waiting = self._open_counts(), len(self._waiting)
        self._active = active = [image for image in self._active if not self.budget.ended[image]]
        for image in list(active):
            if count[image] == 0 or self._target.refuted(image):
                self._end(image, "closed")
            elif (limit := self.budget.limit(image, active, waiting)) is not None:
                self._end(image, limit)
        if self.budget.late:
            self._abandon("timeout")

    def _abandon(self, status: str) -> None:
        """Images that have not begun end with what they started from."""
        for image in self._waiting:
            self.ledger.keep(image)
            self.budget.end(image, status)
        self._waiting.clear()

    def _open_counts(self) -> list[int]:
        pool = self._bounding.pool
        if pool is None:
            return [0] * len(self.root)
        return torch.bincount(pool.listing()[1], minlength=len(self.root)).tolist()

    def _end(self, image: int, status: str) -> None:
        """Stop an image: the bounds of its open nodes are its answer."""
        self._bounding.end(image)
        self.budget.end(image, status)
        self._active = [other for other in self._active if other != image]

    def _report(self) -> None:
        """Call back about once a second."""
        now, options = time.perf_counter(), self._problem.options
        if options.progress is None or now - self._reported < 1.0:
            return
        self._reported = now
        done = len(self.root) - len(self._active) - len(self._waiting)
        means = float(self._target.attained.mean()), float(self.bounds().amax(dim=1).mean())
        options.progress(Progress(done, len(self.root), int(self.budget.nodes.sum()), *means))


def sharpened(problem: Problem, alone: Alone, images: Tensor, leaves: int) -> Alone:
    """Bounds of each network alone for some images, the hidden neurons' by branch and bound; alone: those known of them."""
    region, layers, differences = problem.region[images], [], []
    for network, bounds in zip(problem.networks, alone.layers, strict=True):
        layers.append(refined(network, region, bounds, leaves))
        upper = upper_bound(network, region, layers[-1], difference_rows(network))
        differences.append(upper.reshape(len(images), network.classes, network.classes))
    return Alone((layers[0], layers[1]), (differences[0], differences[1]))
