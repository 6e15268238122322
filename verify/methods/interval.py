"""Interval arithmetic of each network alone."""

from __future__ import annotations

from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register
from verify.single.alone import Alone
from verify.single.differences import interval_differences
from verify.single.interval import interval_bounds


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """Each logit difference combined with the last layer, then the measure."""
    teacher, student = (interval_bounds(network, problem.region) for network in problem.networks)
    differences = [interval_differences(network, problem.region)[1] for network in problem.networks]
    return Outcome(problem.measure.separate(Alone((teacher, student), (differences[0], differences[1]))))


register(Method("interval", core, "interval arithmetic of each logit difference"))
