"""`joint` inside branch and bound (docs/branching.md)."""

from __future__ import annotations

from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.branching.loop import Loop
from verify.branching.target import Attained
from verify.joint.problem import Outcome, Problem
from verify.methods.registry import Method, register


def core(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
    """Every query, to the gap, `delta` or a limit; Ctrl-C ends it with what is proved by then."""
    target = Attained(incumbent, problem.options.gap, problem.options.delta)
    loop = Loop(problem, best, target)
    loop.run()
    budget = loop.budget
    return Outcome(
        loop.bounds(), budget.nodes, tuple(budget.status), target.incumbent, loop.root, interrupted=loop.interrupted
    )


register(
    Method("complete", core, "`joint` inside branch and bound, to a gap or a limit", cheaper="joint", timeout=10.0)
)
