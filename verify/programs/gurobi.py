"""Gurobi through gurobipy, also with the size-limited licence that comes with the package."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from verify.programs.interruptible import interruptible
from verify.programs.program import Floats, Integers, Limits, Outcome, Program, SolverUnavailable, refuse_nonlinear

# The licence that comes with the package takes so many variables and so many rows.
LIMITED_SIZE = 2000
TOO_LARGE, LICENCE_ERRORS = 10010, (10009, 10032)


class GurobiSession:
    """A Gurobi model of one program, warm-started from one objective to the next."""

    def __init__(self, program: Program, *, threads: int = 1) -> None:
        refuse_nonlinear(program, "Gurobi")
        gurobi = _import()
        _check_licence_file()
        self._gurobi, self._size, self._program = gurobi, program.size, program
        try:
            self._environment = gurobi.Env(params={"OutputFlag": 0})
        except gurobi.GurobiError as error:
            raise _unavailable(error, program.size) from error
        self._model = model = gurobi.Model(env=self._environment)
        model.Params.Threads = threads
        model.Params.MIPGap = 0.0
        model.Params.OptimalityTol = 1e-9
        model.Params.FeasibilityTol = 1e-9
        self._binary = program.binary
        kinds = [gurobi.GRB.BINARY if binary else gurobi.GRB.CONTINUOUS for binary in program.binary]
        self._variables = list(model.addVars(len(kinds), lb=program.lower, ub=program.upper, vtype=kinds).values())
        self._rows: list[Any] = []
        for (columns, values), lower, upper in zip(program.rows, program.row_lower, program.row_upper, strict=True):
            expression = self._linear(columns, values)
            if lower == upper:
                self._rows.append(model.addLConstr(expression, gurobi.GRB.EQUAL, lower))
            elif lower == -np.inf:
                self._rows.append(model.addLConstr(expression, gurobi.GRB.LESS_EQUAL, upper))
            else:
                assert upper == np.inf, "a row with two different finite sides"
                self._rows.append(model.addLConstr(expression, gurobi.GRB.GREATER_EQUAL, lower))
        if max(program.size) > LIMITED_SIZE:
            # Gurobi checks the licence against the size when it solves; ask now, so that another solver can be taken.
            self.maximise(np.empty(0, np.int64), np.empty(0), Limits(seconds=0.0))

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`; `ObjBound` is the bound of a run that ended by itself or at the limit."""
        model, gurobi = self._model, self._gurobi
        model.setObjective(self._linear(columns, values), gurobi.GRB.MAXIMIZE)
        model.Params.TimeLimit = max(limits.seconds, 0.0)
        model.Params.MIPGapAbs = limits.gap
        model.Params.Cutoff = limits.cutoff
        try:
            if any(self._binary):
                interruptible(model.optimize, model.terminate)
            else:
                model.optimize()
        except gurobi.GurobiError as error:
            raise _unavailable(error, self._size) from error
        if model.Status == gurobi.GRB.INTERRUPTED:
            raise KeyboardInterrupt  # Gurobi takes Ctrl-C for itself.
        if model.Status not in (gurobi.GRB.OPTIMAL, gurobi.GRB.TIME_LIMIT, gurobi.GRB.CUTOFF):
            return Outcome(float("inf"), False)
        closed = model.Status == gurobi.GRB.OPTIMAL
        point = np.array(model.getAttr("X", self._variables)) if model.SolCount else None
        if model.Status == gurobi.GRB.CUTOFF:
            return Outcome(limits.cutoff, True, None, None, int(model.NodeCount))
        if model.IsMIP:
            return Outcome(_finite(model.ObjBound), closed, point, None, int(model.NodeCount))
        if model.Status != gurobi.GRB.OPTIMAL:
            return Outcome(float("inf"), False)
        return Outcome(model.ObjVal, True, point, np.array(model.getAttr("Pi", self._rows)))

    def close(self) -> None:
        """Free the model and its environment."""
        self._model.dispose()
        self._environment.dispose()

    def _linear(self, columns: Integers, values: Floats) -> Any:
        return self._gurobi.LinExpr(values.tolist(), [self._variables[column] for column in columns.tolist()])


def _import() -> Any:
    try:
        import gurobipy
    except ImportError as error:
        raise SolverUnavailable(
            "the solver Gurobi is not installed; install it with pip install 'faithkd[gurobi]'"
        ) from error
    return gurobipy


def _check_licence_file() -> None:
    """Gurobi would read from a pipe in the place of its licence for ever."""
    named = os.environ.get("GRB_LICENSE_FILE", "")
    try:
        is_file = stat.S_ISREG(Path(named).stat().st_mode)
    except (OSError, ValueError):  # What is not there Gurobi itself reports, or does without.
        return
    if not is_file and named:
        raise SolverUnavailable(
            f"Gurobi's licence was expected in the file {named} (GRB_LICENSE_FILE), which is no file; mend it or choose solver 'highs'"
        )


def _finite(bound: float) -> float:
    return bound if abs(bound) < 1e100 else float("inf")


def _unavailable(error: Any, size: tuple[int, int]) -> SolverUnavailable:
    if error.errno == TOO_LARGE:
        return SolverUnavailable(
            f"the program has {size[0]} variables and {size[1]} rows, but Gurobi's size-limited licence takes "
            f"{LIMITED_SIZE} of each; install a full licence or choose solver 'highs' or 'cbc'"
        )
    if error.errno in LICENCE_ERRORS:
        return SolverUnavailable(f"Gurobi has no valid licence ({error}); renew it or choose solver 'highs' or 'cbc'")
    return SolverUnavailable(f"Gurobi stopped with error {error.errno} ({error}); choose solver 'highs' or 'cbc'")
