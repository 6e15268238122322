"""The linear program of one network (triangle relaxation; Ehlers 2017, Wong and Kolter 2018), rigorous through its multipliers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from verify.crown import crown_bounds
from verify.interval import LayerBounds
from verify.lagrangian import lagrangian_bound
from verify.network import ReluNetwork
from verify.problem import Outcome, Problem, Progress
from verify.programs import add_inputs, add_network
from verify.region import Region
from verify.softmax import box_differences, confidence_bounds, difference_rows, query_bounds
from verify.solvers import Limits, Program, open_session

Done = Callable[[int], None]


def lp_boxes_core(problem: Problem, best: Tensor) -> Outcome:
    """Eq. 9-11 as printed, the logit boxes by the linear program: the paper's own method."""

    def differences(network: ReluNetwork, layers: LayerBounds, done: Done) -> tuple[Tensor, Tensor]:
        rows = torch.eye(network.classes, dtype=network.dtype, device=network.device)
        return box_differences(
            *lp_rows(network, problem.region, layers, rows, solver=problem.options.solver, done=done)
        )

    return _both(problem, best, differences)


def lp_core(problem: Problem, best: Tensor) -> Outcome:
    """Eq. 10-11, each logit difference by the linear program."""

    def differences(network: ReluNetwork, layers: LayerBounds, done: Done) -> tuple[Tensor, Tensor]:
        return lp_differences(network, problem.region, layers, solver=problem.options.solver, done=done)

    return _both(problem, best, differences)


def lp_differences(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds | None = None,
    *,
    solver: str = "auto",
    done: Done | None = None,
) -> tuple[Tensor, Tensor]:
    """Bounds `(n, C, C)`, `[n, i, j]` of `z_j - z_i`, each by its own linear program, rounded outward.

    bounds: of every pre-activation, CROWN's unless given.
    """
    bounds = bounds or crown_bounds(network, region)
    rows = difference_rows(network.classes, network.dtype, network.device)
    upper = lp_upper_bound(network, region, bounds, rows, solver=solver, done=done)
    square = upper.reshape(len(region), network.classes, network.classes)
    return -square.transpose(1, 2), square


def lp_rows(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    solver: str = "auto",
    done: Done | None = None,
) -> tuple[Tensor, Tensor]:
    """Bounds `(n, r)` of `rows @ logits`, rows `(r, classes)`, by the linear program; see `lp_upper_bound`."""
    upper = lp_upper_bound(network, region, bounds, torch.cat((rows, -rows)), solver=solver, done=done)
    return -upper[:, len(rows) :], upper[:, : len(rows)]


def lp_upper_bound(
    network: ReluNetwork,
    region: Region,
    bounds: LayerBounds,
    rows: Tensor,
    *,
    solver: str = "auto",
    done: Done | None = None,
) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ logits`, rows `(r, classes)`, by the linear program, rounded outward.

    bounds: of every pre-activation; the triangles rest on them. A solver's word is not taken: its multipliers are re-evaluated in
    float64 (verify/lagrangian.py), and a row that it did not solve gets the bound of multipliers that are zero. done: called with the
    number of images done. Raises `SolverUnavailable`.
    """
    upper = torch.full((len(region), len(rows)), torch.inf, dtype=rows.dtype, device=rows.device)
    usable = bounds.finite().tolist()
    for image in range(len(region)):
        if usable[image]:
            here, layers = region[image], bounds[image : image + 1]
            multipliers = _multipliers(network, here, layers, rows, solver)
            upper[image] = lagrangian_bound(network, here, layers, rows[None], multipliers)[0]
        if done is not None:
            done(image + 1)
    return upper


def _both(
    problem: Problem, best: Tensor, differences: Callable[[ReluNetwork, LayerBounds, Done], tuple[Tensor, Tensor]]
) -> Outcome:
    """Eq. 10-11 from bounds of each network's logit differences; an image counts as done with its student's."""

    def report(done: int) -> None:
        if problem.options.progress is not None:
            means = float(problem.emplb.mean()), float(best.flatten(1).amax(dim=1).mean())
            problem.options.progress(Progress(done, len(problem.region), 0, *means))

    teacher_layers, student_layers = problem.layers()
    teacher = differences(problem.teacher, teacher_layers, lambda _: None)
    student = differences(problem.student, student_layers, report)
    return Outcome(query_bounds(*confidence_bounds(*teacher), *confidence_bounds(*student)))


def _multipliers(network: ReluNetwork, region: Region, bounds: LayerBounds, rows: Tensor, solver: str) -> list[Tensor]:
    """The optimal multipliers of every row's program, one `(1, r, n_k)` tensor a hidden layer; zeros where there are none."""
    program = Program()
    encoded = add_network(program, network, bounds, add_inputs(program, region), exact=False)
    found = [np.zeros((len(rows), len(places))) for places in encoded.dense_rows]
    session = open_session(program, solver)
    try:
        for place, row in enumerate(rows.cpu().numpy()):
            if not row.any():
                continue
            columns, values, _ = encoded.objective(row)
            outcome = session.maximise(columns, values, Limits())
            if outcome.multipliers is not None and np.isfinite(outcome.multipliers).all():
                for layer, given in zip(found, encoded.multipliers(outcome.multipliers), strict=True):
                    layer[place] = given
    finally:
        session.close()
    return [torch.from_numpy(layer)[None].to(rows) for layer in found]
