"""Branch and bound over both networks at once: the method `complete` (docs/branching.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.crown import upper_bound
from verify.engine import BATCH, Cut, Engine
from verify.history import History
from verify.neurons import refined
from verify.pool import Nodes, Pool
from verify.problem import Alone, Outcome, Problem, Progress
from verify.replay import attained
from verify.rounding import least
from verify.rows import Rows
from verify.schedule import Schedule
from verify.softmax import difference_rows
from verify.splits import FEW_INPUTS, choose_split, inherited, narrow, split
from verify.tightening import narrow_inputs, tighten


@dataclass(frozen=True)
class Effort:
    """What a row is worth: the first search, the number of tightenings, and the search after each."""

    first: Schedule
    later: Schedule
    tightenings: int


# Images that are worked on at once; the others wait.
ACTIVE = 32
# Nodes of one image that are split in a round: at least, at most, and as a part of those it has had; where there are few inputs a node
# costs next to nothing, and a round its overhead.
PICKS, PICKS_OF_FEW_INPUTS = (8, BATCH // 8, 0.125), (16, BATCH // 2, 0.5)
ROOT = Effort(Schedule(steps=60, decay=0.96), Schedule(steps=30), 3)
NODE = Effort(Schedule(steps=20).scaled(0.5), Schedule(steps=10).scaled(0.5), 1)
# After how many nodes since its last root an image's neurons are bounded anew, and with how many leaves a side.
STAGES = ((48, 8), (600, 64))
# Images that are sharpened in a round.
SHARPENED = 8
# Proofs of threshold + gap must not be undone by the rounding of the comparison.
GAP_SHARE = 1 - 1e-6


def complete_core(problem: Problem, best: Tensor) -> Outcome:
    """Bounds `(n, C, 2)` by `joint` inside branch and bound, to the gap, `delta` or a limit."""
    search = Branching(problem, best)
    try:
        search.run()
    except KeyboardInterrupt:
        search.interrupt()
    return search.outcome()


def sharpened(problem: Problem, alone: Alone, images: Tensor, leaves: int) -> Alone:
    """Bounds of each network alone for some images, the hidden neurons' by branch and bound."""
    region, layers, differences = problem.region[images], [], []
    for network, bounds in zip((problem.teacher, problem.student), alone.layers, strict=True):
        layers.append(refined(network, region, bounds[images], leaves))
        rows = difference_rows(network.classes, network.dtype, network.device)
        upper = upper_bound(network, region, layers[-1], rows)
        differences.append(upper.reshape(len(images), network.classes, network.classes))
    return Alone((layers[0], layers[1]), (differences[0], differences[1]))


def mirrored(bounds: Tensor) -> Tensor:
    """Bounds `(n, 2, 2)` of the other of two classes: as `p_1 = 1 - p_0`, it has the same queries with the signs changed."""
    return bounds.flip(1, 2)


@dataclass(frozen=True)
class Flight:
    """Rows that are being worked on, in no pool, with the bounds that they have: what an interruption must not lose."""

    rows: Rows
    bound: Tensor


class Branching:
    """The state of branch and bound over all images of a problem.

    closed `(n, C, 2)`: the largest bound of every query's closed leaves; emplb and witness: the best inputs met so far.
    """

    def __init__(self, problem: Problem, best: Tensor) -> None:
        n = len(best)
        self._problem = problem
        self._best = torch.minimum(best, mirrored(best)) if problem.classes == 2 else best.clone()
        self._root = self._best.flatten(1).amax(dim=1)
        self._engine = Engine(problem)
        self._emplb, self._witness = problem.emplb.clone(), problem.witness.clone()
        self._closed = torch.full_like(best, -torch.inf)
        self._nodes = torch.zeros(n, dtype=torch.int64, device=best.device)
        self._alive = torch.ones(n, dtype=torch.bool, device=best.device)
        alone = problem.tight()
        self._alone = Alone(alone.layers, (alone.differences[0].clone(), alone.differences[1].clone()))
        self._stage = [0] * n
        self._since = torch.zeros_like(self._nodes)
        inputs = self._engine.inputs.split
        self._history = History(self._engine.exact, n, problem.classes, inputs, best.device)
        self._spent = torch.zeros(n, dtype=torch.float64, device=best.device)
        self._status = ["open"] * n
        self._interrupted = False
        self._pool: Pool | None = None
        self._flight: Flight | None = None
        self._inner = problem.region.inner(torch.float32)
        self._started = time.perf_counter()
        self._deadline = self._started + n * problem.options.timeout
        self._reported = self._started
        below = self._root <= self._threshold(torch.arange(n, device=best.device))
        self._waiting: list[int] = []
        self._active: list[int] = []
        for image, (done, usable) in enumerate(zip(below.tolist(), alone.representable().tolist(), strict=True)):
            if done or not usable:
                self._status[image] = "closed" if done else "overflow"
            else:
                self._waiting.append(image)

    def run(self) -> None:
        """Work until every image is closed or has reached a limit."""
        while self._active or self._waiting:
            begun = time.perf_counter()
            before = self._nodes.clone()
            if self._waiting and len(self._active) <= ACTIVE // 2:
                self._admit(ACTIVE - len(self._active))
            self._round()
            self._sharpen()
            self._account(time.perf_counter() - begun, self._nodes - before)
            self._retire()
            self._report()

    def _threshold(self, image: Tensor) -> Tensor:
        """What the queries of these images `(m,)` are to be proved not to exceed, float64."""
        options = self._problem.options
        target = self._emplb + GAP_SHARE * options.gap
        if options.delta is not None:
            target = torch.where(self._emplb <= options.delta, options.delta, target)
        return target[image]

    def _admit(self, count: int) -> None:
        """Begin with the next images."""
        images = torch.tensor(self._waiting[:count], device=self._best.device)
        self._active, self._waiting = self._active + self._waiting[:count], self._waiting[count:]
        self._open(images)
        self._best[images] = torch.minimum(self._best, self._bounds())[images]
        self._root[images] = self._best[images].flatten(1).amax(dim=1)

    def _sharpen(self) -> None:
        """Bound the neurons of images that stay open by branch and bound of their own, and begin anew with them."""
        count, since = self._open_counts(), self._nodes - self._since
        for stage, (nodes, leaves) in enumerate(STAGES):
            late = [k for k in self._active if count[k] and self._stage[k] == stage and since[k] >= nodes][:SHARPENED]
            if not late or time.perf_counter() >= self._deadline:
                continue
            images = torch.tensor(late, device=self._best.device)
            alone = sharpened(self._problem, self._alone, images, leaves)
            for mine, new in zip(self._alone.differences, alone.differences, strict=True):
                mine[images] = least(mine[images], new)
            layers = [mine.replaced(images, new) for mine, new in zip(self._alone.layers, alone.layers, strict=True)]
            self._alone = Alone((layers[0], layers[1]), self._alone.differences)
            self._best = torch.minimum(self._best, self._bounds())
            self._closed[images] = self._best[images]
            assert self._pool is not None
            for image in late:
                slots = self._slots_of(image)
                self._pool.remove(slots)
                self._history.close(image)
                self._stage[image] = stage + 1
            self._since[images] = self._nodes[images]
            self._open(images)

    def _open(self, images: Tensor) -> None:
        """The roots of the open queries of some images."""
        best = self._best[images]
        wanted = best > self._threshold(images)[:, None, None]
        if self._problem.classes == 2:
            wanted[:, 1] = False  # See `mirrored`.
        place, label, sign = wanted.nonzero(as_tuple=True)
        rows = self._engine.root(images[place], label, sign, self._alone)
        self._flight = Flight(rows, best[wanted])
        self._history.open(rows)
        self._closed[images] = torch.where(wanted, -torch.inf, best)
        for part in torch.split(torch.arange(len(rows), device=images.device), BATCH):
            slopes, free = self._engine.start(rows[part])
            # Its own bound alone: what is known of the whole query says nothing of which part to split.
            self._bound(rows[part], slopes, free, torch.full_like(best[wanted][part], torch.inf), ROOT)
        self._flight = None

    def _round(self) -> None:
        """Split some nodes of every active image and bound the children."""
        if self._pool is None or self._pool.count == 0:
            return
        picked = self._pick()
        nodes = self._pool.peek(picked)
        self._flight = Flight(nodes.rows, nodes.bound)
        self._pool.remove(picked)
        hopeful = nodes.bound > self._threshold(nodes.rows.image)
        self._close(nodes.rows, nodes.bound, ~hopeful)
        nodes = nodes[hopeful]
        if len(nodes):
            rows = Rows.cat(split(nodes.rows, nodes.variable, nodes.value))
            child = torch.arange(len(rows), device=rows.image.device)
            for part in torch.split(child, BATCH):
                parents = nodes[part % len(nodes)]
                if time.perf_counter() < self._deadline:
                    self._branch(parents, rows[part], part // len(nodes))
                else:
                    self._store(parents)
        self._flight = None

    def _branch(self, parents: Nodes, rows: Rows, side: Tensor) -> None:
        """Bound children, each beside its parent, on the side (0: below) of its split."""
        threshold = self._threshold(rows.image)
        narrowed, empty = narrow(rows, threshold)
        self._nodes.index_add_(0, rows.image[empty], torch.ones_like(rows.image[empty]))
        self._close(rows, threshold, empty)
        bound = threshold.clone()
        left = (~empty).nonzero()[:, 0]
        if len(left):
            own = parents[left]
            slopes = inherited(own.rows, narrowed[left], own.slopes)
            bound[left] = self._bound(narrowed[left], slopes, own.free, own.bound, NODE)
        gain = parents.bound - torch.maximum(bound, threshold)
        self._history.record(rows, parents.variable, side, gain, parents.cost)

    def _bound(self, rows: Rows, slopes: Tensor, free: Tensor, parent: Tensor, effort: Effort) -> Tensor:
        """Bound rows, close those that are at their threshold, store the others with their next split; returns their bounds."""
        self._nodes.index_add_(0, rows.image, torch.ones_like(rows.image))
        bounds, bound = parent.clone(), parent
        place = torch.arange(len(rows), device=parent.device)
        for attempt in range(effort.tightenings + 1):
            threshold = self._threshold(rows.image)
            narrowed, empty = narrow(rows, threshold)
            slopes, rows = inherited(rows, narrowed, slopes), narrowed
            bound = torch.where(empty, threshold, bound)
            found = self._engine.search(rows, slopes, free, effort.first if attempt == 0 else effort.later)
            cut = self._engine.cut(rows, found.slopes, found.free)
            bound = torch.minimum(torch.maximum(cut.largest(), threshold), bound)
            bounds[place] = bound
            self._replay(rows, found.corner)
            threshold = self._threshold(rows.image)
            closed = bound <= threshold
            self._close(rows, bound, closed)
            left = ~closed
            if not left.any():
                return bounds
            rows, found, cut, bound = rows[left], found[left], cut[left], bound[left]
            threshold, place = threshold[left], place[left]
            slopes, free = found.slopes, found.free
            if attempt < effort.tightenings:
                tightened = self._tightened(rows, cut, threshold)
                slopes, rows = inherited(rows, tightened, slopes), tightened
        chosen = choose_split(self._engine, self._history, rows, found, threshold)
        self._store(Nodes(rows, found.slopes, found.free, bound, *chosen))
        return bounds

    def _tightened(self, rows: Rows, cut: Cut, threshold: Tensor) -> Rows:
        """The rows with every box cut to where the query can still exceed its threshold."""
        narrower = narrow_inputs(self._engine, rows, cut, threshold) if rows.inputs else rows
        return tighten(self._engine, narrower, cut, threshold)

    def _store(self, nodes: Nodes) -> None:
        """Keep open nodes; where the memory's limit is reached, the images with the most of them end."""
        if self._pool is None:
            self._pool = Pool(nodes, self._problem.options.max_bytes)
        while True:
            ended = ~self._alive[nodes.rows.image]
            self._close(nodes.rows, nodes.bound, ended)
            nodes = nodes[~ended]
            if len(nodes) <= self._pool.room():
                break
            _, image, *_ = self._pool.listing()
            counts = torch.bincount(torch.cat((image, nodes.rows.image)), minlength=len(self._best))
            self._end(int(counts.argmax()), "memory-limit")
        self._pool.add(nodes)

    def _close(self, rows: Rows, bound: Tensor, which: Tensor) -> None:
        """Leaves: their own bounds enter their queries' answers."""
        query = (rows.image[which] * self._best.shape[1] + rows.label[which]) * 2 + rows.sign[which]
        self._closed.view(-1).scatter_reduce_(0, query, bound[which], "amax")

    def _pick(self) -> Tensor:
        """Slots of the nodes to split: of every active image those with the largest bounds, as many as its own history allows."""
        assert self._pool is not None
        slots, image, _, _, bound = self._pool.listing()
        order = bound.argsort(descending=True, stable=True)
        order = order[image[order].argsort(stable=True)]
        image = image[order]
        first = torch.searchsorted(image, image)
        few = 0 < self._engine.inputs.split <= FEW_INPUTS
        least_picks, most_picks, share = PICKS_OF_FEW_INPUTS if few else PICKS
        allowed = (self._nodes.double() * share).long().clamp(least_picks, most_picks)
        if self._problem.options.max_nodes is not None:
            allowed = torch.minimum(allowed, ((self._problem.options.max_nodes - self._nodes + 1) // 2).clamp(min=0))
        chosen = torch.arange(len(image), device=image.device) - first < allowed[image]
        return slots[order[chosen]]

    def _replay(self, rows: Rows, corner: Tensor) -> None:
        """Raise EMPLB by the corners `(m, d)` that the relaxations point to."""
        lower, upper = self._inner
        boxes = self._engine.inputs.of(rows)
        points = (boxes.center[boxes.index] + corner).float()
        points = torch.clamp(points, lower[rows.image], upper[rows.image])
        one, other = (network(points).softmax(dim=1) for network in self._engine.quick.networks)
        values = (one - other).abs().amax(dim=1).double()
        hopeful = values > self._emplb[rows.image]
        if not hopeful.any():
            return
        image = rows.image[hopeful]
        points = self._problem.region[image].inside(points[hopeful])
        exact = attained(self._problem.teacher, self._problem.student, points).flatten(1).amax(dim=1)
        for k in exact.argsort():
            if exact[k] > self._emplb[image[k]]:
                self._emplb[image[k]], self._witness[image[k]] = exact[k], points[k]

    def _account(self, seconds: float, share: Tensor) -> None:
        total = max(int(share.sum()), 1)
        self._spent += seconds * share / total

    def _retire(self) -> None:
        """Take images that are closed or at a limit from the active ones."""
        count = self._open_counts()
        options, now = self._problem.options, time.perf_counter()
        unfinished = len(self._active) + len(self._waiting)
        fair = (self._deadline - now + sum(float(self._spent[k]) for k in self._active)) / max(unfinished, 1)
        for image in list(self._active):
            refuted = options.delta is not None and bool(self._emplb[image] > options.delta)
            if count[image] == 0 or refuted:
                self._end(image, "closed")
            elif options.max_nodes is not None and int(self._nodes[image]) >= options.max_nodes:
                self._end(image, "node-limit")
            elif now >= self._deadline or (self._waiting and float(self._spent[image]) > fair):
                self._end(image, "timeout")
        if now >= self._deadline:
            for image in self._waiting:
                self._closed[image] = self._best[image]
                self._status[image] = "timeout"
            self._waiting.clear()

    def _open_counts(self) -> list[int]:
        if self._pool is None:
            return [0] * len(self._best)
        return torch.bincount(self._pool.listing()[1], minlength=len(self._best)).tolist()

    def _end(self, image: int, status: str) -> None:
        """Stop an image: the bounds of its open nodes are its answer."""
        if self._pool is not None:
            mine = self._slots_of(image)
            nodes = self._pool.peek(mine)
            self._close(nodes.rows, nodes.bound, torch.ones_like(nodes.bound, dtype=torch.bool))
            self._pool.remove(mine)
        self._status[image] = status
        self._alive[image] = False
        self._history.close(image)
        if image in self._active:
            self._active.remove(image)

    def _slots_of(self, image: int) -> Tensor:
        """The slots of an image's open nodes."""
        assert self._pool is not None
        slots, images, *_ = self._pool.listing()
        return slots[images == image]

    def interrupt(self) -> None:
        """End every image that is not closed, and say so even where none is left."""
        self._interrupted = True
        if self._flight is not None:
            self._close(self._flight.rows, self._flight.bound, torch.ones_like(self._flight.bound, dtype=torch.bool))
        for image in self._waiting:
            self._closed[image] = self._best[image]
            self._status[image] = "interrupted"
        for image in list(self._active):
            self._end(image, "interrupted")

    def outcome(self) -> Outcome:
        """The bounds, never above those that branch and bound started from."""
        return Outcome(
            self._bounds(), self._nodes, tuple(self._status), self._witness, self._root, interrupted=self._interrupted
        )

    def _bounds(self) -> Tensor:
        """Every query's largest leaf, closed or open, never above what branch and bound started from."""
        largest = self._closed.clone()
        if self._pool is not None:
            _, image, label, sign, bound = self._pool.listing()
            largest.view(-1).scatter_reduce_(0, (image * self._best.shape[1] + label) * 2 + sign, bound, "amax")
        bounds = torch.where(largest == -torch.inf, self._best, torch.minimum(largest, self._best))
        return torch.minimum(bounds, mirrored(bounds)) if self._problem.classes == 2 else bounds

    def _report(self) -> None:
        """Call back about once a second."""
        now = time.perf_counter()
        if self._problem.options.progress is None or now - self._reported < 1.0:
            return
        self._reported = now
        faithub = self._bounds().flatten(1).amax(dim=1)
        done = len(self._best) - len(self._active) - len(self._waiting)
        means = float(self._emplb.mean()), float(faithub.mean())
        self._problem.options.progress(Progress(done, len(self._best), int(self._nodes.sum()), *means))
