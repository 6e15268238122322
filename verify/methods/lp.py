"""The linear program of each network alone: of every logit difference, or of every logit as the paper has it."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register
from verify.single.alone import Alone
from verify.single.differences import box_differences, difference_rows
from verify.single.lp import lp_upper_bound


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """Each logit difference by its own program, then the measure."""
    upper = _upper(problem, best, incumbent, [difference_rows(network) for network in problem.networks])
    square = [
        bound.reshape(len(best), network.classes, -1) for bound, network in zip(upper, problem.networks, strict=True)
    ]
    return Outcome(problem.measure.separate(Alone(problem.layers, (square[0], square[1]))))


def boxes_core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """The boxes of both networks' logits by programs, subtracted, then the measure: the paper's own method."""
    logits = [torch.eye(network.classes, dtype=network.dtype, device=network.device) for network in problem.networks]
    upper = _upper(problem, best, incumbent, [torch.cat((rows, -rows)) for rows in logits])
    boxes = [bound.chunk(2, dim=1) for bound in upper]
    teacher, student = (box_differences(-negative, positive)[1] for positive, negative in boxes)
    return Outcome(problem.measure.separate(Alone(problem.layers, (teacher, student))))


def _upper(problem: Problem, best: Tensor, incumbent: Incumbent, rows: list[Tensor]) -> list[Tensor]:
    """Upper bounds of both networks' rows; an image counts as done with its student's."""
    reports = (lambda done: None, lambda done: problem.report(done, 0, incumbent, best))
    return [
        lp_upper_bound(network, problem.region, layers, own, solver=problem.options.solver, done=done)
        for network, layers, own, done in zip(problem.networks, problem.layers, rows, reports, strict=True)
    ]


register(
    Method("lp-boxes", boxes_core, "the linear program's logit boxes, Eq. 9-11 as printed", solver="any", slow=True)
)
register(Method("lp", core, "the linear program of each logit difference", cheaper="crown", solver="any", slow=True))
