"""HiGHS through highspy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from verify.programs.interruptible import interruptible
from verify.programs.program import Floats, Integers, Limits, Outcome, Program, SolverUnavailable, refuse_nonlinear


class HighsSession:
    """A HiGHS model of one program; a program without binaries is warm-started from one objective to the next."""

    def __init__(self, program: Program, *, threads: int = 1) -> None:
        refuse_nonlinear(program, "HiGHS")
        self._highs = _import()
        self._program = program
        self._model = model = self._highs.Highs()
        model.setOptionValue("output_flag", False)
        model.setOptionValue("threads", threads)
        model.setOptionValue("parallel", "off" if threads == 1 else "on")
        model.setOptionValue("mip_rel_gap", 0.0)
        model.setOptionValue("primal_feasibility_tolerance", 1e-9)
        model.setOptionValue("dual_feasibility_tolerance", 1e-9)
        model.HandleUserInterrupt = any(program.binary)
        model.passModel(self._linear_program())

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`; `mip_dual_bound` is the bound of a program with binaries, whatever the status."""
        model, statuses = self._model, self._highs.HighsModelStatus
        costs = np.zeros(len(self._program.lower))
        costs[columns] = values
        model.changeColsCost(len(costs), np.arange(len(costs), dtype=np.int32), costs)
        model.setOptionValue("mip_abs_gap", limits.gap)
        model.setOptionValue("time_limit", max(limits.seconds, 0.0))
        solve = partial(interruptible, model.run, model.cancelSolve) if any(self._program.binary) else model.run
        if solve() == self._highs.HighsStatus.kError:
            raise SolverUnavailable("the solver HiGHS stopped with an error; choose solver 'gurobi' or 'cbc'")
        info, status, solution = model.getInfo(), model.getModelStatus(), model.getSolution()
        closed = status == statuses.kOptimal
        point = np.array(solution.col_value) if info.primal_solution_status == 2 else None
        if any(self._program.binary):
            proved = status in (statuses.kOptimal, statuses.kTimeLimit) and np.isfinite(info.mip_dual_bound)
            bound = float(info.mip_dual_bound) if proved else float("inf")
            return Outcome(bound, closed, point, None, int(info.mip_node_count))
        if not closed:
            return Outcome(float("inf"), False)
        return Outcome(info.objective_function_value, True, point, np.array(solution.row_dual))

    def close(self) -> None:
        """Free the model."""
        self._model.clear()

    def _linear_program(self) -> Any:
        program, highs = self._program, self._highs
        model = highs.HighsLp()
        model.num_col_, model.num_row_ = program.size
        model.col_cost_ = np.zeros(len(program.lower))
        model.col_lower_, model.col_upper_ = np.array(program.lower), np.array(program.upper)
        model.row_lower_, model.row_upper_ = np.array(program.row_lower), np.array(program.row_upper)
        model.sense_ = highs.ObjSense.kMaximize
        if any(program.binary):
            kinds = highs.HighsVarType
            model.integrality_ = [kinds.kInteger if binary else kinds.kContinuous for binary in program.binary]
        matrix = model.a_matrix_
        matrix.format_ = highs.MatrixFormat.kRowwise
        matrix.num_col_, matrix.num_row_ = program.size
        matrix.start_ = np.cumsum([0, *(len(columns) for columns, _ in program.rows)], dtype=np.int32)
        matrix.index_ = np.concatenate([columns for columns, _ in program.rows] or [np.empty(0, np.int64)]).astype(
            np.int32
        )
        matrix.value_ = np.concatenate([values for _, values in program.rows] or [np.empty(0)])
        return model


def _import() -> Any:
    try:
        import highspy
    except ImportError as error:
        raise SolverUnavailable(
            "the solver HiGHS is not installed; install it with pip install 'faithkd[highs]'"
        ) from error
    return highspy
