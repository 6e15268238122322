"""SCIP through PySCIPOpt: the only solver here that takes exponentials, so that it can solve a pair's whole program."""

from __future__ import annotations

from typing import Any

import numpy as np

from verify.solvers.program import Floats, Integers, Limits, Outcome, Program, SolverUnavailable


class ScipSession:
    """A SCIP model of one program."""

    def __init__(self, program: Program, *, threads: int = 1) -> None:
        self._scip = scip = _import()
        self._threads = threads
        self._model = model = scip.Model()
        model.hideOutput()
        self._variables = [
            model.addVar(f"v{place}", "B" if binary else "C", lb=lower, ub=upper)
            for place, (lower, upper, binary) in enumerate(
                zip(program.lower, program.upper, program.binary, strict=True)
            )
        ]
        for (columns, values), lower, upper in zip(program.rows, program.row_lower, program.row_upper, strict=True):
            sides = (None if lower == -np.inf else lower, None if upper == np.inf else upper)
            model.addCons(scip.ExprCons(self._linear(columns, values), *sides))
        for result, argument in program.exponentials:
            model.addCons(self._variables[result] == scip.exp(self._variables[argument]))
        for one, other in program.reciprocals:
            model.addCons(self._variables[one] * self._variables[other] == 1)

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`; the dual bound is the bound, whatever the status."""
        model = self._model
        model.freeTransform()
        model.setObjective(self._linear(columns, values), "maximize")
        model.setParam("limits/time", min(max(limits.seconds, 0.0), 1e20))
        model.setParam("limits/absgap", limits.gap)
        model.setParam("limits/gap", 0.0)
        model.setObjlimit(max(limits.cutoff, -model.infinity()))
        model.optimize()
        status = model.getStatus()
        nodes = int(model.getNTotalNodes())
        if status == "infeasible":
            return Outcome(
                limits.cutoff if np.isfinite(limits.cutoff) else float("inf"), np.isfinite(limits.cutoff), nodes=nodes
            )
        bound = model.getDualbound()
        best = model.getBestSol() if model.getNSols() else None
        point = None if best is None else np.array([best[variable] for variable in self._variables])
        closed = status in ("optimal", "gaplimit")
        return Outcome(max(bound, limits.cutoff) if abs(bound) < 1e20 else float("inf"), closed, point, None, nodes)

    def close(self) -> None:
        """Free the model."""
        self._model.freeProb()

    def _linear(self, columns: Integers, values: Floats) -> Any:
        pairs = zip(columns.tolist(), values.tolist(), strict=True)
        return self._scip.quicksum(value * self._variables[column] for column, value in pairs)


def _import() -> Any:
    try:
        import pyscipopt
    except ImportError as error:
        raise SolverUnavailable(
            "the solver SCIP is not installed; install it with pip install 'faithkd[scip]'"
        ) from error
    return pyscipopt
