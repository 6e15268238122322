"""The linear and the mixed-integer programs: rigorous through their multipliers, exact, and quick to leave alone what cannot matter."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import REFERENCE, grid, random_network, reference_network, reference_region, samples
from tests.verify.problems import crown_queries, images_of, problem_of, query_values
from verify import LayerBounds, Region, ReluNetwork, bounds
from verify.joint.problem import Problem
from verify.measures.softmax import confidence_bounds, query_bounds
from verify.methods import lp, milp
from verify.methods.milp import TOLERANCE
from verify.programs import Limits, Program, open_session
from verify.single.crown import upper_bound
from verify.single.differences import difference_rows, lp_differences
from verify.single.encoding import add_inputs, add_network
from verify.single.exact import ExactRows
from verify.single.lagrangian import lagrangian_bound
from verify.single.lp import lp_upper_bound

LINEAR = ["gurobi", "highs", "cbc", "scip"]
SHAPES = [[3, 6, 4], [3, 5, 6, 4], [3, 4], [3, 7, 5, 6, 3]]


def region_of(inputs: int, images: int, eps: float, seed: int = 0) -> Region:
    return Region.ball(torch.rand((images, inputs), generator=torch.Generator().manual_seed(seed)), eps)


def solver_optimum(network: ReluNetwork, region: Region, layers: LayerBounds, row: Tensor, solver: str) -> float:
    """The optimum of the linear program as the solver states it."""
    program = Program()
    encoded = add_network(program, network, layers, add_inputs(program, region), exact=False)
    columns, values, constant = encoded.objective(row.numpy())
    session = open_session(program, solver)
    outcome = session.maximise(columns, values, Limits())
    session.close()
    return outcome.bound + constant


def exact_maximum(network: ReluNetwork, region: Region, row: Tensor, solver: str = "gurobi") -> float:
    exact = ExactRows(network, region, bounds(network, region), solver)
    solved, _ = exact.upper_bound(row.numpy(), Limits())
    exact.close()
    assert solved.closed
    return solved.bound


@pytest.mark.parametrize("solver", LINEAR)
@pytest.mark.parametrize("sizes", SHAPES)
def test_the_proof_from_multipliers_is_the_solvers_optimum(solver: str, sizes: list[int]) -> None:
    network = random_network(sizes, 5, 1.5)
    region = region_of(3, 2, 0.3)
    layers = bounds(network, region)
    rows = difference_rows(network)[1:4]
    proved = lp_upper_bound(network, region, layers, rows, solver=solver)
    for image in range(2):
        for place, row in enumerate(rows):
            optimum = solver_optimum(network, region[image], layers[image : image + 1], row, solver)
            assert abs(float(proved[image, place]) - optimum) <= 1e-6


@pytest.mark.parametrize("solver", LINEAR)
def test_lp_is_between_the_exact_rows_and_crown_on_the_reference_networks(solver: str) -> None:
    region = reference_region(0.1)[:2]
    for name in ("rt", "fd"):
        network = reference_network(name)
        layers = bounds(network, region)
        rows = difference_rows(network)[1:5]
        proved = lp_upper_bound(network, region, layers, rows, solver=solver)
        assert (proved <= upper_bound(network, region, layers, rows) + 1e-7).all()
        assert (proved >= network(samples(region, 200)).matmul(rows.T).amax(dim=1)).all()
        optimum = solver_optimum(network, region[1], layers[1:2], rows[0], solver)
        assert abs(float(proved[1, 0]) - optimum) <= 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_any_multipliers_are_sound(seed: int) -> None:
    network = random_network([4, 8, 7, 5], seed, 1.5)
    region = region_of(4, 3, 0.25, seed)
    layers = bounds(network, region)
    rows = difference_rows(network).expand(3, -1, -1)
    generator = torch.Generator().manual_seed(seed)
    multipliers = [3 * torch.randn((3, 25, width), generator=generator, dtype=torch.float64) for width in (8, 7)]
    values = network(samples(region, 500, seed)).matmul(rows[0].T).amax(dim=1)
    assert (lagrangian_bound(network, region, layers, rows, multipliers) >= values).all()


def test_boxes_and_differences_enclose_samples_for_every_image() -> None:
    network = random_network([3, 6, 5, 4], 2, 1.5)
    region = region_of(3, 5, 0.2)
    layers = bounds(network, region)
    logits = network(samples(region, 500))
    done: list[int] = []
    logit = torch.eye(4, dtype=torch.float64)
    upper, negative = lp_upper_bound(network, region, layers, torch.cat((logit, -logit)), done=done.append).chunk(
        2, dim=1
    )
    lower = -negative
    assert done == [1, 2, 3, 4, 5]
    assert (logits >= lower[:, None]).all()
    assert (logits <= upper[:, None]).all()
    lower, upper = lp_differences(network, region)
    differences = logits[..., None, :] - logits[..., :, None]
    assert (differences >= lower[:, None]).all()
    assert (differences <= upper[:, None]).all()


@pytest.mark.parametrize("solver", LINEAR)
@pytest.mark.parametrize("sizes", [[2, 6, 5, 3], [2, 4, 4, 4, 3], [2, 3]])
def test_exact_rows_meet_a_fine_grid(solver: str, sizes: list[int]) -> None:
    network = random_network(sizes, 8, 1.5)
    region = region_of(2, 1, 0.3, 4)
    # Between grid points a logit moves by at most the product of the layers' row sums times half the grid's step.
    slope = np.prod([float(weight.abs().sum(dim=1).max()) for weight in network.weights])
    margin = 2 * slope * 0.6 / 400 / 2
    points = network(grid(region, 401)[0])
    for i, j in ((0, 1), (1, 2), (2, 0)):
        row = difference_rows(network)[3 * i + j]
        largest = float((points @ row).max())
        assert largest - 1e-9 <= exact_maximum(network, region, row, solver) <= largest + margin + 1e-4


@pytest.mark.parametrize("solver", ["gurobi", "cbc"])
@pytest.mark.parametrize("name", ["rt", "ard"])
def test_exact_rows_agree_with_the_reference(solver: str, name: str) -> None:
    with np.load(REFERENCE) as data:
        predictions, rows, expected = (data[f"{name}.{key}"] for key in ("pred", "exact.row", "exact.diff_upper.eps1"))
    network, region = reference_network(name), reference_region(0.1)
    images = range(6) if solver == "gurobi" else range(0, 6, 2)
    for image in images:
        others = [j for j in range(10) if j != predictions[image]]
        row = difference_rows(network)[10 * predictions[image] + others[rows[image]]]
        found = exact_maximum(network, region[image], row, solver)
        assert abs(found - expected[image]) <= 1e-4
        crown = upper_bound(network, region[image], bounds(network, region[image]), row[None])
        assert float(crown) >= found - 1e-5


@pytest.mark.parametrize("solver", LINEAR)
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.3])
def test_a_row_stopped_by_its_limit_has_a_bound_above_what_is_attained(solver: str, seconds: float) -> None:
    network, region = reference_network("rt"), reference_region(0.2)[1]
    row = difference_rows(network)[53]
    exact = ExactRows(network, region, bounds(network, region), solver)
    solved, _ = exact.upper_bound(row.numpy(), Limits(seconds=seconds))
    exact.close()
    assert not solved.closed
    assert solved.bound >= float((network(samples(region, 2000)[0]) @ row).max())


def pair(seed: int, images: int, eps: float, **options: object) -> Problem:
    teacher, student = random_network([3, 8, 6, 4], seed, 1.5), random_network([3, 6, 4], seed + 50, 1.5)
    generator = torch.Generator().manual_seed(seed)
    return problem_of(teacher, student, Region.ball(torch.rand((images, 3), generator=generator), eps), **options)


def worst(queries: Tensor) -> Tensor:
    return queries.amax(dim=1)


@pytest.mark.parametrize("solver", LINEAR)
@pytest.mark.parametrize("seed", range(2))
def test_solving_only_what_matters_gives_the_faithub_of_all_rows(solver: str, seed: int) -> None:
    problem = pair(seed, 3, 0.2, solver=solver)
    found = milp.core(problem, crown_queries(problem), images_of(problem))
    for image in range(3):
        region = problem.region[image]
        largest = []
        for network in problem.networks:
            values = [
                exact_maximum(network, region, row) if bool(row.any()) else 0.0 for row in difference_rows(network)
            ]
            largest.append(torch.tensor(values, dtype=torch.float64).reshape(1, 4, 4))
        confidences = [confidence_bounds(-upper.transpose(1, 2), upper) for upper in largest]
        every_row = query_bounds(*confidences)[0].flatten()
        assert abs(float(worst(found.queries)[image]) - float(every_row.max())) <= TOLERANCE + 1e-5
        assert (found.queries[image] >= every_row - 1e-5).all()


def test_each_step_of_the_chain_is_tighter_and_sound() -> None:
    problem = pair(4, 4, 0.25)
    crown, incumbent = crown_queries(problem), images_of(problem)
    linear = torch.minimum(crown, lp.core(problem, crown, incumbent).queries)
    boxes = lp.boxes_core(problem, crown, incumbent).queries
    exact = milp.core(problem, linear, incumbent).queries
    attained = query_values(problem, samples(problem.region, 2000)).amax(dim=1)
    assert (exact >= attained).all()
    assert (boxes >= attained).all()
    assert (worst(exact) <= worst(linear)).all()
    assert (worst(linear) <= worst(boxes) + 1e-9).all()
    assert float(worst(exact).mean()) < float(worst(crown).mean()) - 1e-3


def test_no_time_leaves_bounds_that_are_proved() -> None:
    problem = pair(1, 3, 0.3, timeout=0.0)
    crown, incumbent = crown_queries(problem), images_of(problem)
    found = milp.core(problem, crown, incumbent)
    assert set(found.status or ()) <= {"open", "timeout"}
    assert "timeout" in (found.status or ())
    assert (found.queries <= crown).all()
    assert (worst(found.queries) >= incumbent.emplb).all()


def test_progress_counts_every_image() -> None:
    for core in (lp.boxes_core, lp.core, milp.core):
        seen: list[int] = []
        problem = pair(1, 3, 0.1, progress=lambda progress, seen=seen: seen.append(progress.images))
        core(problem, crown_queries(problem), images_of(problem))
        assert seen == [1, 2, 3]


@pytest.mark.parametrize("solver", LINEAR)
def test_a_point_and_a_dead_network_are_no_trouble(solver: str) -> None:
    network = random_network([3, 5, 4], 1)
    dead = ReluNetwork(network.weights, (network.biases[0] - 100, network.biases[1]), network.bias_errors)
    for net, eps in ((network, 0.0), (dead, 0.2), (dead, 0.0)):
        region = region_of(3, 1, eps)
        row = difference_rows(net)[1]
        value = float(net(region.center)[0] @ row)
        found = lp_upper_bound(net, region, bounds(net, region), row[None], solver=solver)
        assert value <= float(found) <= value + 1e-6
        assert value - 1e-9 <= exact_maximum(net, region, row, solver) <= value + 1e-4
