"""What every solver is given and gives back: a program, a session that holds it, and an outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from verify.errors import Unsupported

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class SolverUnavailable(Unsupported):
    """A solver that is not installed, not licensed, too small for the program, or fails; the message says what to do."""


@dataclass
class Program:
    """Bounded variables, linear rows over them, and the nonlinear terms that SCIP alone takes; built by adding to it.

    lower, upper, binary: one entry a variable. rows: `(columns, values)` with `row_lower <= values . v[columns] <= row_upper`.
    exponentials: pairs `(e, d)` with `v[e] = exp(v[d])`. reciprocals: pairs `(p, q)` with `v[p] v[q] = 1`.
    """

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    binary: list[bool] = field(default_factory=list)
    rows: list[tuple[Integers, Floats]] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    exponentials: list[tuple[int, int]] = field(default_factory=list)
    reciprocals: list[tuple[int, int]] = field(default_factory=list)

    def add_variable(self, lower: float, upper: float, *, binary: bool = False) -> int:
        """Add one variable and return its column."""
        self.lower.append(float(lower))
        self.upper.append(float(upper))
        self.binary.append(binary)
        return len(self.lower) - 1

    def add_row(self, columns: Integers, values: Floats, lower: float, upper: float) -> int:
        """Add `lower <= values . v[columns] <= upper` and return its place; entries that are zero are dropped."""
        kept = values != 0
        self.rows.append((np.asarray(columns, np.int64)[kept], np.asarray(values, np.float64)[kept]))
        self.row_lower.append(float(lower))
        self.row_upper.append(float(upper))
        return len(self.rows) - 1

    @property
    def size(self) -> tuple[int, int]:
        """Number of variables and of rows."""
        return len(self.lower), len(self.rows)


@dataclass(frozen=True)
class Limits:
    """When a solver may stop: after `seconds`, or within `gap` (absolute) of the maximum.

    cutoff: the caller does not care by how much the maximum stays below it; a solver may prune with it, and a program that cannot
    pass it then has the bound `cutoff`.
    """

    seconds: float = float("inf")
    gap: float = 1e-5
    cutoff: float = -float("inf")


@dataclass(frozen=True)
class Outcome:
    """What a solver proved about `max c . v`, never what it merely found.

    bound: an upper bound, its dual bound; `inf` when it has none. closed: whether it ran to the gap rather than into a limit.
    point: the best solution met, or None. multipliers: for a program without binaries, one a row, with `c - A^T multipliers` the
    reduced costs of the maximisation; else None. nodes: of its search tree.
    """

    bound: float
    closed: bool
    point: Floats | None = None
    multipliers: Floats | None = None
    nodes: int = 0


class Session(Protocol):
    """One program held by one solver, to be maximised for one objective after another."""

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """Maximise `values . v[columns]` within the limits. Raises `SolverUnavailable` when the solver fails."""
        ...

    def close(self) -> None:
        """Let go of what the solver holds."""
        ...


def refuse_nonlinear(program: Program, solver: str) -> None:
    """Raise `Unsupported` when the program has terms that only SCIP takes."""
    if program.exponentials or program.reciprocals:
        raise Unsupported(f"{solver} cannot solve programs with exponentials; choose solver 'scip'")
