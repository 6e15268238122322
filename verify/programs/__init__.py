"""Gurobi, HiGHS, CBC (through PuLP) and SCIP behind one small interface: a `Program`, held by a `Session`, gives `Outcome`s."""

from __future__ import annotations

from collections.abc import Callable

from verify.errors import Unsupported
from verify.solvers.cbc import CbcSession
from verify.solvers.gurobi import GurobiSession
from verify.solvers.highs import HighsSession
from verify.solvers.program import Floats, Integers, Limits, Outcome, Program, Session, SolverUnavailable
from verify.solvers.scip import ScipSession

__all__ = [
    "SOLVERS", "Floats", "Integers", "Limits", "Outcome", "Program", "Session", "SolverUnavailable",
    "check_name", "open_session",
]  # fmt: skip

SOLVERS: dict[str, Callable[..., Session]] = {
    "gurobi": GurobiSession,
    "highs": HighsSession,
    "cbc": CbcSession,
    "scip": ScipSession,
}
# The order in which "auto" tries them, by measured speed (docs/solvers.md): for linear programs, and for those with binaries.
AUTO_LINEAR = ("gurobi", "highs", "cbc")
AUTO_INTEGER = ("gurobi", "cbc", "highs")


def open_session(program: Program, solver: str = "auto", *, threads: int = 1) -> Session:
    """Give the program to a solver; `auto` takes the fastest of Gurobi, HiGHS and CBC that is installed and licensed for its size.

    Raises `SolverUnavailable` when the solver is missing, has no valid licence or one that is too small, and `Unsupported` for an
    unknown name.
    """
    if solver != "auto":
        return SOLVERS[check_name(solver)](program, threads=threads)
    refusals = []
    for name in AUTO_INTEGER if any(program.binary) else AUTO_LINEAR:
        try:
            return SOLVERS[name](program, threads=threads)
        except SolverUnavailable as refusal:
            refusals.append(str(refusal))
    raise SolverUnavailable("no solver can be used: " + "; ".join(refusals))


def check_name(solver: str) -> str:
    """The name itself; raises `Unsupported` when no solver has it."""
    if solver != "auto" and solver not in SOLVERS:
        raise Unsupported(f"unknown solver '{solver}'; choose one of auto, {', '.join(SOLVERS)}")
    return solver
