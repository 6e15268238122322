"""Boxes of inputs: rounded outward whatever their size, splits that lose nothing, and what is easy with few inputs closes."""

import random
from fractions import Fraction

import pytest
import torch

import verify
from tests.support import confidences_difference, grid, random_network
from tests.verify.problems import problem_of
from verify import Region, ReluNetwork
from verify.joint.bound import JointBound
from verify.joint.tightening import narrow_inputs
from verify.passes.optimise import Schedule
from verify.rounding import part_of_box, share_within


def linear(weights: list[list[float]], biases: list[float]) -> ReluNetwork:
    zero = torch.zeros(len(biases), dtype=torch.float64)
    return ReluNetwork(
        (torch.tensor(weights, dtype=torch.float64),), (torch.tensor(biases, dtype=torch.float64),), (zero,)
    )


@pytest.mark.parametrize("seed", range(20))
def test_parts_of_a_box_are_rounded_outward(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(50):
        middle, half = source.uniform(-1, 1) * 10 ** source.randint(-12, 12), 10.0 ** source.randint(-12, 12)
        lower, upper = (
            torch.tensor([[middle - half]], dtype=torch.float64),
            torch.tensor([[middle + half]], dtype=torch.float64),
        )
        low, high = Fraction(lower.item()), Fraction(upper.item())
        share = torch.tensor([[source.choice([-1.0, 0.0, 1.0, source.uniform(-1, 1)])]], dtype=torch.float32).double()
        exact = (low + high) / 2 + (high - low) / 2 * Fraction(share.item())
        least, most = (Fraction(part_of_box(lower, upper, share, up=up).item()) for up in (False, True))
        assert low <= least <= exact <= most <= high
        distance = torch.tensor([[abs(source.gauss(0, 1)) * half]], dtype=torch.float64)
        if high > low:
            assert Fraction(share_within(lower, upper, distance).item()) * (high - low) / 2 >= Fraction(distance.item())


STEEP = [(2, 100.0), (2, 1000.0), (2, 5000.0), (3, 1000.0), (3, 5000.0), (3, 1e4)]


@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize(("classes", "slope"), STEEP)
def test_steep_logits_of_one_input_close(classes: int, slope: float, shift: float) -> None:
    weights = [[0.0], [slope], [-slope]][:classes]
    teacher = linear(weights, [0.0, -slope / 2, slope / 2 + 1][:classes])
    student = linear(weights, [0.0, -slope / 2 + shift, slope / 2 + 1 - shift][:classes])
    image = torch.tensor([[0.5]])
    result = verify.faithfulness(teacher, student, image, 0.5, gap=1e-4, max_nodes=12_000, timeout=60.0)
    assert result.status == ("closed",)
    near = 0.5 + torch.linspace(-20, 20, 4001, dtype=torch.float64)[:, None] / slope
    assert float(result.faithub) >= float(confidences_difference(teacher, student, near.clamp(0, 1)).max())


@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_few_inputs_close_to_the_truth(inputs: int, seed: int) -> None:
    teacher, student = random_network([inputs, 8, 7, 4], seed, 2.0), random_network([inputs, 6, 6, 4], seed + 50, 2.0)
    images = torch.full((1, inputs), 0.5)
    region = Region.ball(images, 0.5)
    result = verify.faithfulness(teacher, student, images, 0.5, gap=2e-3, max_nodes=20_000, timeout=60.0)
    truth = confidences_difference(teacher, student, grid(region, {1: 2001, 2: 101, 3: 25}[inputs])).amax(dim=1)
    assert result.status == ("closed",)
    assert (result.faithub >= truth).all()
    assert (result.emplb >= truth - 0.02).all()


def test_a_cut_narrows_the_inputs() -> None:
    teacher, student = linear([[0.0, 0.0], [4.0, 1.0]], [0.0, -2.0]), linear([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0])
    problem = problem_of(teacher, student, Region.ball(torch.full((1, 2), 0.5), 0.5))
    joint = JointBound(problem)
    zero = torch.zeros(1, dtype=torch.int64)
    rows = joint.root(zero, zero + 2, problem.tight)
    found = joint.search(rows, *joint.start(rows), Schedule(steps=60))
    cut = joint.cut(rows, found.numbers, found.free)
    points = grid(problem.region, 201)[0]
    values = (teacher(points).softmax(1) - student(points).softmax(1))[:, 1]
    level = values.max()[None] - 0.1
    narrower = narrow_inputs(joint, rows, cut, level)
    low, high = narrower.lower[0, -2:], narrower.upper[0, -2:]
    assert low[0] > -0.5
    assert torch.equal(high, torch.ones(2))
    shares = (points[values > level] - 0.5) / 0.5
    assert ((shares >= low.double()) & (shares <= high.double())).all()


@pytest.mark.parametrize("eps", [1e-9, 1e-4, 10.0])
def test_any_radius_is_split(eps: float) -> None:
    """The function on a tiny or a large box is the same as on the unit box: so is its answer."""
    slope = 10 / eps
    teacher, student = linear([[0.0], [slope]], [0.0, 0.5]), linear([[0.0], [slope]], [0.0, 0.0])
    result = verify.faithfulness(
        teacher, student, torch.tensor([[0.0]]), eps, valid_range=None, gap=1e-4, max_nodes=5000, timeout=60.0
    )
    assert result.status == ("closed",)
    assert float(result.emplb) == pytest.approx(0.124353, abs=1e-4)
    assert float(result.faithub) > 0.124353


def test_inputs_that_cannot_move_are_left_alone() -> None:
    teacher, student = random_network([3, 8, 4], 1, 2.0), random_network([3, 8, 4], 2, 2.0)
    eps = torch.tensor([0.0, 0.3, 0.0])
    images = torch.full((1, 3), 0.5)
    result = verify.faithfulness(teacher, student, images, eps, gap=1e-4, max_nodes=4000)
    points = images.double() + torch.linspace(-0.3, 0.3, 4001, dtype=torch.float64)[:, None] * torch.tensor(
        [[0.0, 1, 0]]
    )
    assert result.status == ("closed",)
    assert float(result.faithub) >= float(confidences_difference(teacher, student, points).max())
