"""The exact mixed-integer program of one network's rows (Tjeng et al. 2019)."""

from __future__ import annotations

from verify.network.graph import Network
from verify.programs import Floats, Limits, Program, Session, open_session
from verify.programs import Outcome as Solved
from verify.region import Region
from verify.single.encoding import Encoded, add_inputs, add_network
from verify.single.layers import LayerBounds

# A solver keeps rows and binaries within about 1e-9 to 1e-6; its bound is raised by so much, relative to 1 + |bound|.
SOLVER_MARGIN = 1e-6


class ExactRows:
    """The exact program of one network over one box, solved for one row after another."""

    def __init__(self, network: Network, region: Region, bounds: LayerBounds, solver: str = "auto") -> None:
        """region, bounds: their first image is taken. Raises `SolverUnavailable`."""
        program = Program()
        self._inputs = add_inputs(program, region)
        self._encoded: Encoded = add_network(program, network, bounds, self._inputs, exact=True)
        self._session: Session = open_session(program, solver)

    def upper_bound(self, row: Floats, limits: Limits) -> tuple[Solved, Floats | None]:
        """What the solver proved about the maximum of `row . logits`, with SOLVER_MARGIN, and the input `(d,)` of its best solution."""
        columns, values, constant = self._encoded.objective(row)
        solved = self._session.maximise(columns, values, limits)
        point = None if solved.point is None else self._inputs.point(solved.point)
        bound = solved.bound + constant
        return Solved(bound + SOLVER_MARGIN * (1 + abs(bound)), solved.closed, None, None, solved.nodes), point

    def close(self) -> None:
        """Let go of the solver's model."""
        self._session.close()
