"""CBC through PuLP: a process of its own for every objective, its bound read from its log."""

from __future__ import annotations

import re
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verify.programs.program import Floats, Integers, Limits, Outcome, Program, SolverUnavailable, refuse_nonlinear

# CBC only takes a new incumbent that is better by so much, so its optimum may miss the truth by it.
INCREMENT = 1e-6
# The log prints bounds with six significant digits.
LOG_PRECISION = 1e-5
# CBC looks at the clock between its steps alone, and preparing a large program is one step. It is ended so many seconds, and such a
# share of its limit, after its limit.
GRACE, OVERTIME = 0.5, 0.1


class CbcSession:
    """A PuLP problem of one program. CBC minimises, so the objective goes in with its sign changed.

    PuLP writes the program and reads the answer; the process is started here, in the folder of its files: PuLP cannot have a folder whose
    name has a space in it, and waits for as long as CBC runs.
    """

    def __init__(self, program: Program, *, threads: int = 1) -> None:
        refuse_nonlinear(program, "CBC")
        self._pulp = pulp = _import()
        self._program, self._threads = program, threads
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="verify-cbc-", ignore_cleanup_errors=True)
        except OSError as error:
            raise _failed(f"has no folder to work in ({error.strerror or error})") from error
        self._problem = problem = pulp.LpProblem("program", pulp.LpMinimize)
        with _quiet():
            self._variables = [
                pulp.LpVariable(f"v{place}", lower, upper, cat=pulp.LpBinary if binary else pulp.LpContinuous)
                for place, (lower, upper, binary) in enumerate(
                    zip(program.lower, program.upper, program.binary, strict=True)
                )
            ]
            for place, (row, lower, upper) in enumerate(
                zip(program.rows, program.row_lower, program.row_upper, strict=True)
            ):
                problem.addConstraint(self._row(f"r{place}", self._linear(*row), lower, upper))

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`. PuLP reports `Optimal` for a run stopped with an incumbent, so its second status and the log decide."""
        pulp = self._pulp
        self._problem.setObjective(self._linear(columns, -values))
        try:
            with _quiet():
                answer = self._solve(limits)
        except OSError as error:
            raise _failed(f"cannot be run ({error.strerror or error})") from error
        except subprocess.TimeoutExpired:  # It does not look at the clock while it prepares a program.
            return Outcome(float("inf"), False)
        value = float(values @ answer.point[columns])
        if not np.isfinite(value):
            raise _failed("gave an answer that cannot be read")
        if not any(self._program.binary):
            if answer.status != pulp.LpSolutionOptimal:
                return Outcome(float("inf"), False)
            return Outcome(value, True, answer.point, -answer.duals)
        closed = answer.status == pulp.LpSolutionOptimal
        found = closed or answer.status == pulp.LpSolutionIntegerFeasible
        bound = value + limits.gap + INCREMENT if closed else logged_bound(answer.log, value if found else None)
        nodes = re.search(r"Enumerated nodes:\s+(\d+)", answer.log)
        return Outcome(bound, closed, answer.point if found else None, None, int(nodes[1]) if nodes else 0)

    def _solve(self, limits: Limits) -> _Answer:
        """Write the program, run CBC, read what it wrote. Raises `SolverUnavailable`, `OSError` or `TimeoutExpired`."""
        pulp, folder = self._pulp, Path(self._folder.name)
        seconds = max(limits.seconds, 0.01) if np.isfinite(limits.seconds) else None
        # After CBC's presolve of a linear program the multipliers need not be the optimum's.
        presolve = [] if any(self._program.binary) else ["presolve off"]
        solver = pulp.PULP_CBC_CMD(
            msg=False,
            threads=self._threads,
            gapRel=0.0,
            gapAbs=limits.gap,
            options=[f"increment {INCREMENT:g}", *presolve],
        )
        kept = self._problem.fixObjective()
        written, variables, rows, _ = self._problem.writeMPS(str(folder / "program.mps"), rename=1)
        self._problem.restoreObjective(*kept)
        (folder / "program.sol").unlink(missing_ok=True)
        words = ["program.mps", *(() if seconds is None else ("-sec", str(seconds)))]
        words += " ".join(f"-{option}" for option in (*solver.options, *solver.getOptions())).split()
        words += ["-solve", "-printingOptions", "all", "-solution", "program.sol"]
        with (folder / "cbc.log").open("wb") as log:
            done = subprocess.run(
                [str(Path(solver.path).resolve()), *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                timeout=None if seconds is None else GRACE + (1 + OVERTIME) * seconds, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            how = f"exit status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            raise _failed(f"ended with {how}")
        try:
            _, found, _, duals, _, status = solver.readsol_MPS(
                str(folder / "program.sol"), self._problem, written, variables, rows
            )
        except (OSError, ValueError, LookupError) as error:
            raise _failed("gave no answer that can be read") from error
        point = np.array([found.get(f"v{place}", 0.0) for place in range(len(self._variables))], np.float64)
        multipliers = np.array([duals.get(f"r{place}", 0.0) for place in range(len(self._program.rows))], np.float64)
        return _Answer(status, point, multipliers, (folder / "cbc.log").read_text(encoding="utf-8", errors="replace"))

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


@dataclass(frozen=True)
class _Answer:
    """PuLP's status of the solution; the best point; the multipliers of the rows of the minimisation; the log."""

    status: int
    point: Floats
    duals: Floats
    log: str


def logged_bound(log: str, incumbent: float | None) -> float:
    """The upper bound of the maximisation that CBC's log of a stopped run names, rounded up; `inf` when it names none.

    A bound below the incumbent would contradict it and is not used.
    """
    match = re.search(r"^Lower bound:\s+(\S+)\s*$", log, re.MULTILINE)
    if match is None:
        return float("inf")
    try:
        bound = -float(match[1])
    except ValueError:
        return float("inf")
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
        command = getattr(pulp, "PULP_CBC_CMD", None)
        if command is None or not command(msg=False).available():
            raise SolverUnavailable("this build of PuLP has no CBC; install pulp[cbc] or choose solver 'highs'")
    return pulp


def _failed(how: str) -> SolverUnavailable:
    return SolverUnavailable(
        f"the solver CBC {how}; choose solver 'highs' (pip install 'faithkd[highs]'), or mend CBC or the folder that TMPDIR names"
    )
