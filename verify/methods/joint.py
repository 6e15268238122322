"""Linear bounds of a measure through the shared input, no branching (docs/branching.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.joint.bound import BATCH, JointBound
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register
from verify.passes.optimise import Schedule

# The search for every query's free numbers.
SEARCH = Schedule(steps=50, decay=0.96)


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """Every query bounded by one linear function of the shared input, its free numbers optimised."""
    joint, queries = JointBound(problem), torch.full_like(best, problem.measure.largest)
    every = torch.arange(best.shape[1], device=best.device)
    for image in torch.split(torch.arange(len(best), device=best.device), max(BATCH // len(every), 1)):
        query = every.repeat(len(image))
        subproblems = joint.root(image.repeat_interleave(len(every)), query, problem.tight)
        found = joint.search(subproblems, *joint.start(subproblems), SEARCH)
        proved = joint.engine.prove(joint.task(subproblems), found.numbers, found.free)
        queries[image] = proved.reshape(len(image), -1)
    return Outcome(queries)


register(Method("joint", core, "both networks on the shared input at once, no branching", cheaper="alpha-crown"))
