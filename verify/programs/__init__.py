"""Gurobi, HiGHS, CBC (through PuLP) and SCIP behind one small interface: a `Program`, held by a `Session`, gives `Outcome`s."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from verify.errors import Unsupported
from verify.programs.cbc import CbcSession
from verify.programs.choice import ChosenSession
from verify.programs.gurobi import GurobiSession
from verify.programs.highs import HighsSession
from verify.programs.program import Floats, Integers, Limits, Outcome, Program, Session, SolverUnavailable
from verify.programs.scip import scip_session

__all__ = [
    "SOLVERS", "Floats", "Integers", "Limits", "Outcome", "Program", "Session", "SolverUnavailable",
    "check_name", "open_session", "try_out",
]  # fmt: skip

SOLVERS: dict[str, Callable[..., Session]] = {
    "gurobi": GurobiSession,
    "highs": HighsSession,
    "cbc": CbcSession,
    "scip": scip_session,
}
# The order in which "auto" tries them, by measured speed (docs/solvers.md): for linear programs, and for those with binaries.
AUTO_LINEAR = ("gurobi", "highs", "cbc")
AUTO_INTEGER = ("gurobi", "cbc", "highs")


def open_session(program: Program, solver: str = "auto", *, threads: int = 1) -> Session:
    """Give the program to a solver; `auto` takes the fastest of Gurobi, HiGHS and CBC that is installed, licensed for its size and works.

    A solver that fails at its first objective gives way to the next one, or raises `SolverUnavailable` there, as it does here when it is
    missing, has no valid licence or one that is too small. Raises `Unsupported` for an unknown name.
    """
    names = (AUTO_INTEGER if any(program.binary) else AUTO_LINEAR) if solver == "auto" else (check_name(solver),)
    return ChosenSession(program, [SOLVERS[name] for name in names], threads)


def try_out(solver: str, *, binaries: bool) -> None:
    """Solve the smallest of programs. Raises what `open_session` raises when no solver can, before the work begins."""
    program = Program()
    column = program.add_variable(0.0, 1.0, binary=binaries)
    session = open_session(program, solver)
    try:
        session.maximise(np.array([column]), np.ones(1), Limits(seconds=10.0))
    finally:
        session.close()


def check_name(solver: str) -> str:
    """The name itself; raises `Unsupported` when no solver has it."""
    if solver != "auto" and solver not in SOLVERS:
        raise Unsupported(f"unknown solver '{solver}'; choose one of auto, {', '.join(SOLVERS)}")
    return solver
