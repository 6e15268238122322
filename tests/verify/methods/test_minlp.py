"""SCIP's whole program meets the truth on networks small enough to know it, with its limits as well as without."""

import sys

import pytest
import torch
from torch import Tensor

from tests.support import grid, random_network, samples
from tests.verify.problems import crown_queries, images_of, problem_of, query_values
from verify import Region
from verify.joint.problem import Outcome, Problem
from verify.methods.minlp import GAP, core
from verify.programs import SolverUnavailable


def pair(shapes: tuple[list[int], list[int]], seed: int, eps: float, images: int = 2, **options: object) -> Problem:
    teacher, student = random_network(shapes[0], seed, 1.5), random_network(shapes[1], seed + 20, 1.5)
    generator = torch.Generator().manual_seed(seed)
    region = Region.ball(torch.rand((images, shapes[0][0]), generator=generator), eps)
    return problem_of(teacher, student, region, **options)


def minlp(problem: Problem, best: Tensor) -> Outcome:
    return core(problem, best, images_of(problem))


def attained(problem: Problem, points: Tensor) -> Tensor:
    """The largest value `(n, queries)` of every query at points `(n, m, d)`."""
    return query_values(problem, points).amax(dim=1)


@pytest.mark.parametrize("shapes", [([2, 5, 4, 3], [2, 4, 3]), ([2, 4, 2], [2, 3, 3, 2]), ([2, 4], [2, 5, 4])])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_query_is_above_a_fine_grid_and_the_worst_is_close(
    shapes: tuple[list[int], list[int]], seed: int
) -> None:
    problem = pair(shapes, seed, 0.2, gap=0.001)
    found = minlp(problem, crown_queries(problem))
    truth = attained(problem, grid(problem.region, 301))
    assert (found.queries >= truth - 1e-6).all()
    assert found.status == ("closed", "closed")
    # A step of the grid is 0.4 / 300, and these confidences move by at most about 3 a unit of the input.
    assert (found.queries.amax(dim=1) <= truth.amax(dim=1) + GAP + 0.004).all()


def test_the_witness_attains_what_closes_the_image() -> None:
    problem = pair(([3, 6, 5, 3], [3, 5, 3]), 3, 0.3, gap=0.002)
    found = minlp(problem, crown_queries(problem))
    assert found.incumbent is not None
    witness = found.incumbent.witness
    assert problem.region.contains(witness).all()
    replayed = attained(problem, witness[:, None].double()).amax(dim=1)
    assert (found.queries.amax(dim=1) - replayed <= 0.002 + 1e-6).all()


@pytest.mark.parametrize("timeout", [0.0, 0.02])
def test_a_limit_leaves_bounds_above_what_is_attained(timeout: float) -> None:
    problem = pair(([4, 12, 10, 4], [4, 10, 8, 4]), 5, 0.4, gap=0.0005, timeout=timeout)
    crown = crown_queries(problem)
    found = minlp(problem, crown)
    assert "timeout" in (found.status or ())
    assert (found.queries <= crown).all()
    assert (found.queries >= attained(problem, samples(problem.region, 3000))).all()


def test_a_missing_scip_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscipopt", None)
    problem = pair(([2, 5, 4, 3], [2, 4, 3]), 0, 0.2, gap=0.001)
    with pytest.raises(SolverUnavailable, match=r"pip install 'faithkd\[scip\]'"):
        minlp(problem, crown_queries(problem))
