"""SCIP through PySCIPOpt: the only solver here that takes exponentials, so that it can solve a pair's whole program.

A linear program goes to SCIP's own solver of linear programs, which has multipliers for every row; SCIP drops rows that it can do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from verify.programs.program import Floats, Integers, Limits, Outcome, Program, Session, SolverUnavailable


def scip_session(program: Program, *, threads: int = 1) -> Session:
    """The session that suits the program."""
    if any(program.binary) or program.exponentials or program.reciprocals:
        return ScipSession(program)
    return LinearSession(program)


class LinearSession:
    """A linear program, warm-started from one objective to the next."""

    def __init__(self, program: Program) -> None:
        self._scip = scip = _import()
        self._linear = linear = scip.LP(sense="maximize")
        linear.addCols([[] for _ in program.lower], lbs=program.lower, ubs=program.upper)
        entries = [list(zip(columns.tolist(), values.tolist(), strict=True)) for columns, values in program.rows]
        infinity = linear.infinity()
        lower, upper = (np.clip(sides, -infinity, infinity) for sides in (program.row_lower, program.row_upper))
        linear.addRows(entries, lower.tolist(), upper.tolist())
        self._columns: Integers = np.empty(0, np.int64)

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`."""
        linear = self._linear
        for column in self._columns.tolist():
            linear.chgObj(column, 0.0)
        for column, value in zip(columns.tolist(), values.tolist(), strict=True):
            linear.chgObj(column, value)
        self._columns = columns
        with _failures():
            value = linear.solve(dual=True)
        if not (linear.isPrimalFeasible() and linear.isDualFeasible()):
            return Outcome(float("inf"), False)
        return Outcome(value, True, np.array(linear.getPrimal()), np.array(linear.getDual(), dtype=np.float64))

    def close(self) -> None:
        """Free the program."""
        self._linear.clear()


class ScipSession:
    """A SCIP model of one program."""

    def __init__(self, program: Program) -> None:
        self._scip = scip = _import()
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
        with _failures():
            model.optimize()
        status = model.getStatus()
        if status == "userinterrupt":
            raise KeyboardInterrupt  # SCIP takes Ctrl-C for itself.
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


@contextmanager
def _failures() -> Iterator[None]:
    """PySCIPOpt raises plain exceptions of many kinds for whatever SCIP says."""
    try:
        yield
    except Exception as error:
        raise SolverUnavailable(f"the solver SCIP stopped ({error}); choose another solver") from error


def _import() -> Any:
    try:
        import pyscipopt
    except ImportError as error:
        raise SolverUnavailable(
            "the solver SCIP is not installed; install it with pip install 'faithkd[scip]'"
        ) from error
    return pyscipopt
