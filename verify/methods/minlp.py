"""The pair's whole program, ReLUs and softmax, by the global solver SCIP: an independent second implementation of the exact answer.

For one image and class `i`, both networks read the same inputs; every ReLU is exact (verify/single/encoding.py), and each network has

    d_j = z_j - z_i,   e_j = exp(d_j),   q = 1 + sum over j of e_j,   p q = 1,

so that `p` is its confidence in class `i`. The objective is `p_t - p_s` or `p_s - p_t`.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register
from verify.programs import Floats, Limits, Program, open_session
from verify.programs import Outcome as Solved
from verify.single.alone import Alone
from verify.single.encoding import Encoded, Inputs, add_inputs, add_network
from verify.single.exact import SOLVER_MARGIN

# Absolute gap at which SCIP may stop; less where the caller's own gap is small.
GAP = 0.005
# The largest difference of logits whose exponential a solver can hold beside 1.
LARGEST_EXPONENT = 30.0


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """SCIP's dual bound of each query that can still matter, the largest first, within `timeout` seconds an image.

    A query matters while its bound is above the image's EMPLB by more than `gap`. EMPLB is SCIP's cutoff: it prunes, and a query
    that cannot pass it has it as its bound. Raises `SolverUnavailable` without SCIP.
    """
    queries, nodes, status, met = best.clone(), [], [], []
    usable = problem.tight.representable().tolist()
    for k in range(len(problem.region)):
        part = torch.tensor([k], device=best.device)
        image = PairQueries(problem.part(part), problem.tight[part], best[k].reshape(-1, 2), incumbent[part])
        status.append(image.solve(problem.options.timeout) if usable[k] else "overflow")
        queries[k] = image.bounds.flatten()
        nodes.append(image.nodes)
        met.append(image.incumbent)
        problem.report(k + 1, sum(nodes), incumbent, queries)
    return Outcome(queries, torch.tensor(nodes, device=queries.device), tuple(status), Incumbent.cat(met))


class PairQueries:
    """The queries of one image: their bounds `(C, 2)`, and the best input met."""

    def __init__(self, problem: Problem, alone: Alone, best: Tensor, incumbent: Incumbent) -> None:
        """All of one image."""
        self._problem, self._layers = problem, alone.layers
        self._differences = [upper[0].cpu().numpy() for upper in alone.differences]
        self.bounds, self.incumbent = best.clone(), incumbent
        self.nodes = 0

    def solve(self, seconds: float) -> str:
        """Solve open queries, each for its share of the time; returns `open`, `closed` or `timeout`."""
        deadline = time.perf_counter() + seconds
        options = self._problem.options
        tried: set[int] = set()
        limited = False
        while float(self.bounds.max()) > self._target():
            places = [place for place in self.bounds.flatten().argsort(descending=True).tolist() if place not in tried]
            places = [place for place in places if float(self.bounds.flatten()[place]) > self._target()]
            if not places:
                return "timeout" if limited else "open"
            left = deadline - time.perf_counter()
            if left <= 0:
                return "timeout"
            limits = Limits(left / len(places), min(GAP, options.gap / 2), float(self.incumbent.emplb))
            label, sign = divmod(places[0], 2)
            limited = not self._solve(label, sign, limits) or limited
            tried.add(places[0])
        return "closed"

    def _target(self) -> float:
        """The level below which a bound no longer matters."""
        options = self._problem.options
        return max(float(self.incumbent.emplb) + options.gap, options.delta if options.delta is not None else 0.0)

    def _solve(self, label: int, sign: int, limits: Limits) -> bool:
        """Bound one query; returns whether the solver ran to the end."""
        if max(float(np.abs(largest[:, label]).max()) for largest in self._differences) > LARGEST_EXPONENT:
            return False
        program = Program()
        inputs = add_inputs(program, self._problem.region)
        confidences = [
            add_confidence(
                program,
                add_network(program, network, layers, inputs, exact=True),
                (-largest[:, label], largest[label]),
                label,
            )
            for network, layers, largest in zip(self._problem.networks, self._layers, self._differences, strict=True)
        ]
        session = open_session(program, "scip")
        try:
            solved = session.maximise(np.array(confidences), np.array([1.0, -1.0]) * (1 - 2 * sign), limits)
        finally:
            session.close()
        self.nodes += solved.nodes
        self.bounds[label, sign] = min(float(self.bounds[label, sign]), solved.bound + SOLVER_MARGIN)
        self._replay(solved, inputs)
        return solved.closed

    def _replay(self, solved: Solved, inputs: Inputs) -> None:
        """Take over SCIP's best input as a witness when it is proved to attain more."""
        if solved.point is None:
            return
        region = self._problem.region
        nearest = torch.from_numpy(inputs.point(solved.point)).to(region.center.device, torch.float32)
        met = Incumbent.of(self._problem.networks, self._problem.measure, region, nearest[None])
        self.incumbent = self.incumbent.or_better(met)


def add_confidence(program: Program, encoded: Encoded, bounds: tuple[Floats, Floats], label: int) -> int:
    """Add the confidence in class `label` of an encoded network; bounds: of `z_j - z_label`. Returns its column."""
    classes = len(encoded.bias)
    exponentials = []
    for j in range(classes):
        if j == label:
            continue
        lower, upper = float(bounds[0][j]), float(bounds[1][j])
        difference = program.add_variable(lower, upper)
        columns, values, constant = encoded.objective(np.eye(classes)[j] - np.eye(classes)[label])
        program.add_row(np.append(columns, difference), np.append(values, -1.0), -constant, -constant)
        exponentials.append(program.add_variable(np.exp(lower), np.exp(upper)))
        program.exponentials.append((exponentials[-1], difference))
    least, most = (1 + sum(program_side[e] for e in exponentials) for program_side in (program.lower, program.upper))
    total = program.add_variable(least, most)
    program.add_row(np.array([*exponentials, total]), np.array([1.0] * len(exponentials) + [-1.0]), -1.0, -1.0)
    confidence = program.add_variable(1 / most, 1 / least)
    program.reciprocals.append((confidence, total))
    return confidence


register(
    Method(
        "minlp",
        core,
        "the pair's whole program by SCIP",
        cheaper="alpha-crown",
        proof="solver",
        solver="scip",
        binaries=True,
        slow=True,
    )
)
