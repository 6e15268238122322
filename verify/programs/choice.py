"""One session for the caller, held by the first of several solvers that works."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from verify.programs.program import Floats, Integers, Limits, Outcome, Program, Session, SolverUnavailable


class ChosenSession:
    """The first solver that takes the program and answers; one that fails at its first objective gives way to the next.

    A solver that has answered once stays. When it fails later, that objective is left without a bound (`inf`), never with a wrong one.
    """

    def __init__(self, program: Program, solvers: Sequence[Callable[..., Session]], threads: int) -> None:
        """Raises `SolverUnavailable` when no solver takes the program."""
        self._program, self._threads = program, threads
        self._left = list(solvers)
        self._refusals: list[str] = []
        self._answered = False
        self._session = self._next()

    def maximise(self, columns: Integers, values: Floats, limits: Limits) -> Outcome:
        """See `Session`. Raises `SolverUnavailable` when the last solver fails at its first objective."""
        while True:
            try:
                outcome = self._session.maximise(columns, values, limits)
            except SolverUnavailable as failure:
                if self._answered:
                    return Outcome(float("inf"), False)
                self._session.close()
                self._refusals.append(str(failure))
                self._session = self._next()
            else:
                self._answered = True
                return outcome

    def close(self) -> None:
        """Let go of what the solver holds."""
        self._session.close()

    def _next(self) -> Session:
        while self._left:
            try:
                return self._left.pop(0)(self._program, threads=self._threads)
            except SolverUnavailable as refusal:
                self._refusals.append(str(refusal))
        said = "; ".join(self._refusals)
        raise SolverUnavailable(said if len(self._refusals) == 1 else f"no solver can be used: {said}")
