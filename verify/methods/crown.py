"""CROWN of each logit difference of each network alone."""

from __future__ import annotations

from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """All logit differences by CROWN, then the measure."""
    return Outcome(problem.measure.separate(problem.crown))


register(Method("crown", core, "CROWN of each logit difference", cheaper="crown-boxes", screens=True))
