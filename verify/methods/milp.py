"""The exact program of each logit difference of each network alone, and Eq. 10-11 from it.

Only the rows that can still move an image's FAITHUB are solved. Two values bracket what exact rows would give for a query (class,
sign): Eq. 11 with the proved bounds of its rows, and Eq. 11 with the values its rows are known to attain. The query with the largest
bound decides FAITHUB; its rows are solved in order of how much each could lower it, until the largest bound is within TOLERANCE of
the largest attained value. What was attained steers this work and never enters a bound.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from verify.attained.ascent import ascend
from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.measures.softmax import confidence_bounds, query_bounds
from verify.methods.registry import Method, register
from verify.programs import Floats, Limits
from verify.single.differences import difference_rows
from verify.single.exact import ExactRows

# What is left to gain in Eq. 11 below which no row is solved, and the part of it that one row may leave open.
TOLERANCE = 1e-4
ROW_SHARE = 1e-5
# Steps of the search for the values that rows attain.
SEARCH_STEPS = 12


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """Eq. 10-11 from exact rows, within `timeout` seconds an image; a row that hits the limit has its solver's dual bound."""
    queries, nodes, status = best.clone(), [], []
    usable = problem.tight.representable().tolist()
    for k in range(len(problem.region)):
        if not usable[k]:
            nodes.append(0)
            status.append("overflow")
            continue
        teacher, student = (Side(problem, k, which) for which in range(2))
        image = ImageQueries(teacher, student, best[k].reshape(-1, 2))
        status.append(image.solve(problem.options.timeout, problem.options.delta))
        queries[k] = image.bounds().flatten()
        nodes.append(teacher.nodes + student.nodes)
        problem.report(k + 1, sum(nodes), incumbent, queries)
    return Outcome(queries, torch.tensor(nodes, device=queries.device), tuple(status))


class Side:
    """One network over one image's box: what is proved and what is attained for each of its logit differences.

    proved, attained: `(C, C)`, `[i, j]` at least and at most the maximum of `z_j - z_i`. settled: rows that are solved. tried: the seconds
    that a row was last given without being solved.
    """

    def __init__(self, problem: Problem, k: int, which: int) -> None:
        """k: the image; which: 0 for the teacher, 1 for the student."""
        network = problem.networks[which]
        self._network, self._region, self._solver = network, problem.region[k], problem.options.solver
        self._bounds = problem.tight.layers[which][k : k + 1]
        self._rows = difference_rows(network)
        self._exact: ExactRows | None = None
        self.proved = problem.tight.differences[which][k].clone()
        self.attained = torch.full_like(self.proved, -torch.inf)
        self.settled = torch.eye(network.classes, dtype=torch.bool)
        self.tried = torch.zeros((network.classes, network.classes), dtype=torch.float64)
        self.nodes = 0
        self._search()

    def solve(self, i: int, j: int, limits: Limits) -> None:
        """Give the row `z_j - z_i` to the solver."""
        if self._exact is None:
            self._exact = ExactRows(self._network, self._region, self._bounds, self._solver)
        row = self._rows[i * self._network.classes + j].cpu().numpy()
        solved, point = self._exact.upper_bound(row, limits)
        self.nodes += solved.nodes
        self.settled[i, j] = solved.closed
        self.tried[i, j] = limits.seconds
        self.proved[i, j] = min(float(self.proved[i, j]), solved.bound)
        if point is not None:
            self._meet(torch.from_numpy(point).to(self._rows)[None].clamp(self._region.lower, self._region.upper))

    def close(self) -> None:
        """Let go of the solver's model."""
        if self._exact is not None:
            self._exact.close()

    def _meet(self, points: Tensor) -> None:
        """Every row attains what it attains at these points `(m, d)`."""
        logits = self._network(points)
        values = (logits[:, None, :] - logits[:, :, None]).amax(dim=0)
        self.attained = torch.maximum(self.attained, values)

    def _search(self) -> None:
        """One sign-gradient ascent for every row, from the image, its step falling from the radius to a tenth of it."""
        radius = self._region.half
        start = self._region.center.expand(len(self._rows), -1)
        ascend(
            lambda x: (self._network(x) * self._rows).sum(dim=1),
            start,
            (self._region.lower, self._region.upper),
            steps=SEARCH_STEPS,
            step_size=lambda k: radius * (2 - 1.8 * k / (SEARCH_STEPS - 1)),
            observe=lambda x, _: self._meet(x),
        )


class ImageQueries:
    """Eq. 11 for every query of one image, and the work on the rows that decide it."""

    def __init__(self, teacher: Side, student: Side, best: Tensor) -> None:
        """best: bounds `(C, 2)` that are proved already."""
        self._teacher, self._student, self._best = teacher, student, best

    def bounds(self) -> Tensor:
        """Proved bounds `(C, 2)` of every query."""
        return torch.minimum(self._best, _eq11(self._teacher.proved, self._student.proved))

    def solve(self, seconds: float, delta: float | None) -> str:
        """Solve rows until no row can lower the largest bound by TOLERANCE, or a limit; returns `open` or `timeout`.

        delta: stop as well when every bound is at most delta.
        """
        deadline = time.perf_counter() + seconds
        try:
            while True:
                bounds = self.bounds()
                attained = torch.minimum(self._best, _eq11(self._teacher.attained, self._student.attained))
                largest = float(bounds.max())
                if largest - float(attained.max()) < TOLERANCE or (delta is not None and largest <= delta):
                    return "open"
                rows = self._rows_of(*divmod(int(bounds.argmax()), 2))
                if not rows:
                    return "open"
                row = min(rows, key=lambda row: (row.tried, -row.gain))
                left = deadline - time.perf_counter()
                share = max(left / len(rows), 2 * row.tried)
                if share > left or left <= 0:
                    return "timeout"
                row.side.solve(row.i, row.j, Limits(seconds=share, gap=row.gap))
        finally:
            self._teacher.close()
            self._student.close()

    def _rows_of(self, label: int, sign: int) -> list[Row]:
        """The unsettled rows of one query that matter."""
        above, below = (self._teacher, self._student) if sign == 0 else (self._student, self._teacher)
        places = [(above, j, label) for j in range(len(self._best))] + [
            (below, label, j) for j in range(len(self._best))
        ]
        proved = np.array([float(side.proved[i, j]) for side, i, j in places])
        attained = np.array([float(side.attained[i, j]) for side, i, j in places])
        rows = []
        for k, (side, i, j) in enumerate(places):
            if side.settled[i, j]:
                continue
            alone = _replace(attained, k, proved[k])
            gain = _confidence_gap(alone, label) - _confidence_gap(attained, label)
            gain = max(gain, _confidence_gap(proved, label) - _confidence_gap(_replace(proved, k, attained[k]), label))
            if gain > ROW_SHARE:
                rows.append(
                    Row(side, i, j, float(side.tried[i, j]), gain, ROW_SHARE * (proved[k] - attained[k]) / gain)
                )
        return rows


@dataclass(frozen=True)
class Row:
    """A logit difference `z_j - z_i` of one network; gain: what solving it could lower its query by; gap: what loses ROW_SHARE."""

    side: Side
    i: int
    j: int
    tried: float
    gain: float
    gap: float


def _eq11(teacher: Tensor, student: Tensor) -> Tensor:
    """Eq. 10-11: bounds `(C, 2)` of every query from maxima `(C, C)` of the logit differences of each network."""
    of_teacher, of_student = (confidence_bounds(-largest.T[None], largest[None]) for largest in (teacher, student))
    return query_bounds(of_teacher, of_student)[0]


def _confidence_gap(largest: Floats, label: int) -> float:
    """Eq. 11 of one query from the largest `z_label - z_j` of one network and then the largest `z_j - z_label` of the other."""
    above, below = (np.delete(half, label) for half in np.split(largest, 2))
    with np.errstate(over="ignore"):
        return float(1 / (1 + np.exp(-above).sum()) - 1 / (1 + np.exp(below).sum()))


def _replace(values: Floats, place: int, value: float) -> Floats:
    changed = values.copy()
    changed[place] = value
    return changed


register(
    Method(
        "milp",
        core,
        "the exact program of each logit difference",
        cheaper="lp",
        proof="solver",
        solver="any",
        binaries=True,
        slow=True,
    )
)
