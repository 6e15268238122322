"""Eq. 9 as printed: differences of CROWN's logit boxes."""

from __future__ import annotations

from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register
from verify.single.alone import Alone
from verify.single.differences import box_differences


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """The boxes of both networks' logits, subtracted, then the measure."""
    teacher, student = (box_differences(layers.lower[-1], layers.upper[-1])[1] for layers in problem.layers)
    return Outcome(problem.measure.separate(Alone(problem.layers, (teacher, student))))


register(Method("crown-boxes", core, "CROWN logit boxes, Eq. 9-11 as printed"))
