"""Every solver gives the same right answers, and at a limit a dual bound, never an incumbent."""

import itertools
import sys

import numpy as np
import pytest

from verify import Unsupported
from verify.programs import SOLVERS, Floats, Limits, Program, SolverUnavailable, open_session
from verify.programs.cbc import logged_bound

ALL = list(SOLVERS)


def random_program(seed: int, variables: int, rows: int, *, binary: bool) -> tuple[Program, Floats]:
    """Knapsack-like rows over variables in [0, 1]; half of them binary if asked for. Returns the objective too."""
    rng = np.random.default_rng(seed)
    program = Program()
    for place in range(variables):
        program.add_variable(0.0, 1.0, binary=binary and place % 2 == 0)
    columns = np.arange(variables)
    for _ in range(rows):
        weights = rng.uniform(0.1, 1.0, variables)
        program.add_row(columns, weights, -np.inf, float(weights.sum() * rng.uniform(0.2, 0.6)))
    return program, rng.uniform(0.1, 1.0, variables)


def maximum(program: Program, objective: Floats, solver: str, limits: Limits | None = None) -> float:
    session = open_session(program, solver)
    try:
        return session.maximise(np.arange(len(objective)), objective, limits or Limits()).bound
    finally:
        session.close()


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_binaries_match_enumeration(solver: str, seed: int) -> None:
    program, objective = random_program(seed, 8, 3, binary=True)
    best = -np.inf
    for values in itertools.product((0.0, 1.0), repeat=4):
        fixed, _ = random_program(seed, 8, 3, binary=True)
        fixed.binary = [False] * 8
        fixed.lower[::2] = fixed.upper[::2] = list(values)
        if all((np.array(w)[::2] * values).sum() <= u for (_, w), u in zip(fixed.rows, fixed.row_upper, strict=True)):
            best = max(best, maximum(fixed, objective, "highs"))
    assert abs(maximum(program, objective, solver) - best) <= 2e-5


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_multipliers_prove_the_optimum(solver: str, seed: int) -> None:
    program, objective = random_program(seed, 30, 12, binary=False)
    session = open_session(program, solver)
    for costs in (objective, -objective, objective[::-1].copy()):
        outcome = session.maximise(np.arange(30), costs, Limits())
        assert outcome.multipliers is not None
        # All rows are upper sides: c . v <= m . b + max over the box of (c - A' m) . v for any m >= 0.
        matrix = np.array([values for _, values in program.rows])
        multipliers = outcome.multipliers.clip(min=0)
        reduced = costs - matrix.T @ multipliers
        assert abs(multipliers @ np.array(program.row_upper) + reduced.clip(min=0).sum() - outcome.bound) <= 1e-6
    session.close()


@pytest.fixture(scope="module")
def hard_program() -> tuple[Program, Floats, float]:
    """A program that no solver finishes in a tenth of a second, and a value that it attains."""
    program, objective = random_program(7, 200, 20, binary=True)
    program.binary = [True] * 200
    session = open_session(program, "gurobi")
    outcome = session.maximise(np.arange(200), objective, Limits(seconds=1.0))
    session.close()
    assert outcome.point is not None
    return program, objective, float(objective @ outcome.point)


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1])
def test_a_stopped_run_gives_a_bound_above_what_is_attained(
    solver: str, seconds: float, hard_program: tuple[Program, Floats, float]
) -> None:
    program, objective, attained = hard_program
    session = open_session(program, solver)
    outcome = session.maximise(np.arange(len(objective)), objective, Limits(seconds=seconds))
    session.close()
    assert not outcome.closed
    assert outcome.bound >= attained


@pytest.mark.parametrize("solver", ALL)
def test_one_session_serves_many_objectives(solver: str) -> None:
    program, objective = random_program(3, 12, 4, binary=True)
    session = open_session(program, solver)
    rotated = [np.roll(objective, shift) for shift in range(3)]
    in_one = [session.maximise(np.arange(12), costs, Limits()).bound for costs in rotated]
    session.close()
    assert in_one == pytest.approx([maximum(program, costs, "gurobi") for costs in rotated], abs=3e-5)


@pytest.mark.parametrize("solver", ["gurobi", "scip"])
def test_a_program_below_its_cutoff_has_the_cutoff_as_bound(solver: str) -> None:
    program, objective = random_program(3, 12, 4, binary=True)
    truth = maximum(program, objective, solver)
    assert maximum(program, objective, solver, Limits(cutoff=truth + 1)) == pytest.approx(truth + 1, abs=1e-6)
    assert maximum(program, objective, solver, Limits(cutoff=truth - 1)) == pytest.approx(truth, abs=3e-5)


def test_scip_takes_exponentials_and_reciprocals() -> None:
    program = Program()
    argument = program.add_variable(-1.0, 2.0)
    power = program.add_variable(np.exp(-1.0), np.exp(2.0))
    total = program.add_variable(1.0, 10.0)
    share = program.add_variable(0.0, 1.0)
    program.add_row(np.array([power, total]), np.array([1.0, -1.0]), -1.0, -1.0)
    program.exponentials.append((power, argument))
    program.reciprocals.append((share, total))
    session = open_session(program, "scip")
    outcome = session.maximise(np.array([share]), np.ones(1), Limits(gap=1e-6))
    session.close()
    assert outcome.bound == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-5)
    for solver in set(ALL) - {"scip"}:
        with pytest.raises(Unsupported, match="exponentials"):
            open_session(program, solver)


@pytest.mark.parametrize(("solver", "module"), [("gurobi", "gurobipy"), ("highs", "highspy"), ("scip", "pyscipopt")])
def test_a_missing_solver_names_its_extra(solver: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SolverUnavailable, match=rf"pip install 'faithkd\[{solver}\]'"):
        open_session(Program(), solver)


def test_auto_falls_back_to_cbc(monkeypatch: pytest.MonkeyPatch) -> None:
    program, objective = random_program(1, 10, 3, binary=True)
    truth = maximum(program, objective, "gurobi")
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    monkeypatch.setitem(sys.modules, "highspy", None)
    assert maximum(program, objective, "auto") == pytest.approx(truth, abs=2e-5)
    monkeypatch.setitem(sys.modules, "pulp", None)
    with pytest.raises(SolverUnavailable, match="no solver can be used"):
        open_session(program)


def test_an_expired_licence_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    licence = tmp_path / "gurobi.lic"
    licence.write_text(
        "TYPE=NODE\nVERSION=13\nHOSTNAME=here\nHOSTID=abc\nUSERNAME=me\nEXPIRATION=2020-01-01\nKEY=A\nCKEY=B\n"
    )
    monkeypatch.setenv("GRB_LICENSE_FILE", str(licence))
    with pytest.raises(SolverUnavailable, match="no valid licence"):
        open_session(Program(), "gurobi")
    program, objective = random_program(1, 10, 3, binary=False)
    assert maximum(program, objective, "auto") == pytest.approx(maximum(program, objective, "highs"))


def test_a_program_too_large_for_the_licence_says_so_and_auto_goes_on() -> None:
    program, objective = random_program(1, 2001, 2, binary=False)
    with pytest.raises(
        SolverUnavailable, match="2001 variables and 2 rows, but Gurobi's size-limited licence takes 2000"
    ):
        open_session(program, "gurobi")
    assert maximum(program, objective, "auto") == pytest.approx(maximum(program, objective, "highs"))


def test_an_unknown_solver_is_named() -> None:
    with pytest.raises(Unsupported, match="unknown solver 'cplex'; choose one of auto, gurobi, highs, cbc, scip"):
        open_session(Program(), "cplex")


STOPPED = """Result - Stopped on time limit

Objective value:                -454.00000000
Lower bound:                    -469.145
Gap:                            0.03
"""


def test_the_bound_is_read_from_the_log_and_rounded_up() -> None:
    assert 469.145 < logged_bound(STOPPED, 454.0) < 469.16
    assert logged_bound(STOPPED.replace("Lower bound", "Bound"), 454.0) == np.inf
    assert logged_bound(STOPPED.replace("-469.145", "-1e+50"), 454.0) == np.inf
    assert logged_bound(STOPPED, 470.0) == np.inf
