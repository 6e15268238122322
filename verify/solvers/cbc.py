"""CBC through PuLP: a process of its own for every objective, its bound read from its log."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from verify.solvers.program import Floats, Integers, Limits, Outcome, Program, SolverUnavailable, refuse_nonlinear

# CBC only takes a new incumbent that is better by so much, so its optimum may miss the truth by it.
INCREMENT = 1e-6
# The log prints bounds with six significant digits.
LOG_PRECISION = 1e-5


class CbcSession:
    """A PuLP problem of one program. CBC minimises, so the objective goes in with its sign changed."""

    def __init__(self, program: Program, *, threads: int = 1) -> None:
        refuse_nonlinear(program, "CBC")
        self._pulp = pulp = _import()
        self._program, self._threads = program, threads
        self._folder = tempfile.TemporaryDirectory(prefix="verify-cbc-")
        self._problem = problem = pulp.LpProblem("program", pulp.LpMinimize)
        with _quiet():
            self._variables = [
                pulp.LpVariable(f"v{place}", lower, upper, cat=pulp.LpBinary if binary else pulp.LpContinuous)
                for place, (lower, upper, binary) in enumerate(
                    zip(program.lower, program.upper, program.binary, strict=True)
                )
            ]
            self._rows = [
                self._row(f"r{place}", self._linear(*row), lower, upper)
                for place, (row, lower, upper) in enumerate(
                    zip(program.rows, program.row_lower, program.row_upper, strict=True)
                )
            ]
            for row in self._rows:
                problem.addConstraint(row)

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`. PuLP reports `Optimal` for a run stopped with an incumbent, so `sol_status` and the log decide."""
        pulp, problem = self._pulp, self._problem
        log = Path(self._folder.name) / "cbc.log"
        problem.setObjective(self._linear(columns, -values))
        # After CBC's presolve of a linear program the multipliers need not be the optimum's.
        presolve = [] if any(self._program.binary) else ["presolve off"]
        with _quiet():
            solver = pulp.PULP_CBC_CMD(
                msg=False, threads=self._threads, gapRel=0.0, gapAbs=limits.gap, logPath=str(log),
                timeLimit=max(limits.seconds, 0.01) if np.isfinite(limits.seconds) else None,
                options=[f"increment {INCREMENT:g}", *presolve],
            )  # fmt: skip
            solver.tmpDir = self._folder.name
            problem.solve(solver)
        text = log.read_text()
        point = np.array([variable.varValue or 0.0 for variable in self._variables])
        found = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
        value = float(values @ point[columns])
        if not any(self._program.binary):
            if problem.sol_status != pulp.LpSolutionOptimal:
                return Outcome(float("inf"), False)
            duals = np.array([row.pi for row in self._rows], dtype=np.float64)
            return Outcome(value, True, point, -duals)
        closed = problem.sol_status == pulp.LpSolutionOptimal
        bound = value + limits.gap + INCREMENT if closed else logged_bound(text, value if found else None)
        nodes = re.search(r"Enumerated nodes:\s+(\d+)", text)
        return Outcome(bound, closed, point if found else None, None, int(nodes[1]) if nodes else 0)

    def close(self) -> None:
        """Remove the folder that the process wrote to."""
        self._folder.cleanup()

    def _row(self, name: str, expression: Any, lower: float, upper: float) -> Any:
        pulp = self._pulp
        if lower == upper:
            return pulp.LpConstraint(expression, pulp.LpConstraintEQ, name, lower)
        if lower == -np.inf:
            return pulp.LpConstraint(expression, pulp.LpConstraintLE, name, upper)
        assert upper == np.inf, "a row with two different finite sides"
        return pulp.LpConstraint(expression, pulp.LpConstraintGE, name, lower)

    def _linear(self, columns: Integers, values: Floats) -> Any:
        pairs = zip(columns.tolist(), values.tolist(), strict=True)
        return self._pulp.LpAffineExpression([(self._variables[column], value) for column, value in pairs])


def logged_bound(log: str, incumbent: float | None) -> float:
    """The upper bound of the maximisation that CBC's log of a stopped run names, rounded up; `inf` when it names none.

    A bound below the incumbent would contradict it and is not used.
    """
    match = re.search(r"^Lower bound:\s+(\S+)\s*$", log, re.MULTILINE)
    if match is None:
        return float("inf")
    bound = -float(match[1])
    if not np.isfinite(bound) or abs(bound) > 1e20:
        return float("inf")
    bound += LOG_PRECISION * abs(bound) + 1e-9
    return float("inf") if incumbent is not None and bound < incumbent else bound


@contextmanager
def _quiet() -> Iterator[None]:
    """PuLP 3.3 warns of names that its version 4 will change; both sets of names cannot be used at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _import() -> Any:
    try:
        import pulp
    except ImportError as error:
        raise SolverUnavailable(
            "PuLP, which brings the solver CBC, is not installed; install it with pip install pulp"
        ) from error
    with _quiet():
        if not pulp.PULP_CBC_CMD(msg=False).available():
            raise SolverUnavailable("this build of PuLP has no CBC; install pulp[cbc] or choose solver 'highs'")
    return pulp
