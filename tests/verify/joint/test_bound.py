"""The joint bound: every choice of its free numbers is sound, its gradient is right, and rounding is covered."""

from fractions import Fraction
from itertools import product

import pytest
import torch

import verify
from tests.support import confidences_difference, grid, random_network, samples
from tests.verify.problems import every_query, label_and_sign, problem_of, query_values
from tests.verify.rationals import awkward_network, exact_difference
from verify import Region
from verify.joint.bound import JointBound
from verify.measures.head import Boxes, Head, conjugate, in_order
from verify.passes.bound import Evaluation
from verify.passes.optimise import Schedule

SHAPES = [([2, 4, 3], [2, 5, 4, 3]), ([2, 6, 5, 2], [2, 3, 2]), ([3, 5, 5, 5, 4], [3, 4]), ([2, 5, 10], [2, 6, 4, 10])]


@pytest.mark.parametrize("seed", range(5))
def test_the_conjugate_is_the_tightest_line(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = 6 * torch.randn(400, generator=generator, dtype=torch.float64)
    b = a + 4 * torch.rand(400, generator=generator, dtype=torch.float64) ** 2
    slope = torch.rand(400, generator=generator, dtype=torch.float64) ** 3
    slope[:20] = 0
    highest, at = conjugate(slope, a, b)
    v = a[:, None] + (b - a)[:, None] * torch.linspace(0, 1, 4001, dtype=torch.float64)
    values = v.sigmoid() - slope[:, None] * v
    assert (values <= highest[:, None] + 1e-15).all()
    assert (values.amax(dim=1) >= highest - 1e-6).all()
    assert ((a <= at) & (at <= b)).all()


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 13])
@pytest.mark.parametrize("width", [0.0, 0.5, 6.0])
def test_the_head_holds_on_its_boxes(classes: int, width: float) -> None:
    generator = torch.Generator().manual_seed(classes)
    n = 40
    label = torch.randint(classes, (n,), generator=generator)
    is_label = torch.nn.functional.one_hot(label, classes).bool()

    def box() -> tuple[torch.Tensor, torch.Tensor]:
        low = 3 * torch.randn((n, classes), generator=generator, dtype=torch.float64)
        high = low + width * torch.rand((n, classes), generator=generator, dtype=torch.float64)
        return low.masked_fill(is_label, 0.0), high.masked_fill(is_label, 0.0)

    def lse(d: torch.Tensor) -> torch.Tensor:
        return d.masked_fill(is_label, -torch.inf).logsumexp(-1)

    (low_up, high_up), (low_down, high_down) = box(), box()
    slack = 1e-12
    sign = torch.arange(n) % 2
    boxes = Boxes(
        label, sign, (low_up, low_down), (high_up, high_down),
        (lse(low_up) - slack, lse(low_down) - slack), (lse(high_up) + slack, lse(high_down) + slack),
    )  # fmt: skip
    head = Head(boxes)
    for scale in (0.0, 0.1, 1.0):
        free = scale * torch.randn((n, 2 + 3 * classes), generator=generator, dtype=torch.float64)
        point = head.at(free)
        error = head.error(point)
        for trial in range(60):
            draws = torch.rand((2, n, classes), generator=generator, dtype=torch.float64)
            up_share, down_share = draws.round() if trial % 2 else draws
            up, down = low_up + (high_up - low_up) * up_share, low_down + (high_down - low_down) * down_share
            value = torch.sigmoid(-lse(up)) - torch.sigmoid(-lse(down))
            of_networks = zip(point.forms, in_order(up, down, sign), strict=True)
            bound = point.value + sum((form * d).sum(1) for form, d in of_networks)
            assert (value <= bound + error).all()


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_any_free_numbers_are_sound(shapes: tuple[list[int], list[int]], seed: int) -> None:
    teacher, student = (random_network(sizes, 2 * seed + k, 1.5) for k, sizes in enumerate(shapes))
    images = torch.rand((3, shapes[0][0]), generator=torch.Generator().manual_seed(seed))
    problem = problem_of(teacher, student, Region.ball(images, 0.2))
    joint = JointBound(problem)
    rows = every_query(joint)
    reached = query_values(problem, samples(problem.region, 2000, seed)).amax(dim=1)[rows.image, rows.query]
    generator = torch.Generator().manual_seed(seed)
    numbers, free = joint.start(rows)
    task = joint.task(rows)
    for scale in (0.0, 0.1, 2.0):
        bound = joint.engine.prove(
            task,
            numbers + scale * torch.randn(numbers.shape, generator=generator),
            free + scale * torch.randn(free.shape, generator=generator),
        )
        assert (bound >= reached).all()
    assert (joint.engine.prove(task, numbers * torch.nan, free * torch.inf) >= reached).all()


@pytest.mark.parametrize("shapes", SHAPES)
def test_the_gradient_is_the_one_of_the_bound(shapes: tuple[list[int], list[int]]) -> None:
    teacher, student = (random_network(sizes, 7 + k, 1.5) for k, sizes in enumerate(shapes))
    images = torch.rand((2, shapes[0][0]), generator=torch.Generator().manual_seed(1))
    joint = JointBound(problem_of(teacher, student, Region.ball(images, 0.2)), torch.float64)
    rows = every_query(joint)
    numbers, free = joint.start(rows)
    generator = torch.Generator().manual_seed(2)
    x = torch.cat((numbers, free), dim=1)
    x = (x + 0.1 * torch.rand(x.shape, generator=generator, dtype=torch.float64)).clamp(max=0.95)
    objective = joint.measure.objective(rows, torch.float64)
    evaluation = Evaluation(joint.engine.quick, joint.task(rows), objective)
    _, gradient = evaluation.at(x)
    step = 1e-7
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    difference = evaluation.at(x + step * direction)[0] - evaluation.at(x - step * direction)[0]
    assert torch.allclose(difference / (2 * step), (gradient * direction).sum(dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shapes", SHAPES)
def test_the_search_pays_and_its_proof_agrees(shapes: tuple[list[int], list[int]]) -> None:
    teacher, student = (random_network(sizes, 11 + k, 1.5) for k, sizes in enumerate(shapes))
    images = torch.rand((4, shapes[0][0]), generator=torch.Generator().manual_seed(1))
    joint = JointBound(problem_of(teacher, student, Region.ball(images, 0.15)))
    rows = every_query(joint)
    start = joint.start(rows)
    found = joint.search(rows, *start, Schedule(steps=40))
    task = joint.task(rows)
    before, after = joint.engine.prove(task, *start), joint.engine.prove(task, found.numbers, found.free)
    assert (after <= before + 1e-5).all()
    assert after.mean() < before.mean()
    assert torch.allclose(after, found.value.double(), atol=1e-4)
    assert torch.allclose(joint.glance(rows, found.numbers, found.free), found.value, atol=1e-5)


@pytest.mark.parametrize("shapes", SHAPES)
def test_joint_is_never_worse_than_optimised_slopes(shapes: tuple[list[int], list[int]]) -> None:
    teacher, student = (random_network(sizes, 3 + k, 1.5) for k, sizes in enumerate(shapes))
    images = torch.rand((5, shapes[0][0]), generator=torch.Generator().manual_seed(0))
    joint, cheaper = (
        verify.faithfulness(teacher, student, images, 0.2, method=name, search=False)
        for name in ("joint", "alpha-crown")
    )
    assert (joint.faithub <= cheaper.faithub).all()
    if shapes[0][0] == 2:
        truth = confidences_difference(teacher, student, grid(Region.ball(images, 0.2), 101)).amax(dim=1)
        assert (joint.faithub >= truth).all()


def test_an_imitator_is_seen_through_the_shared_input() -> None:
    """Two equal networks differ by 0 wherever their confidences range; no bound of each network alone can see that."""
    network = random_network([4, 3], 1, 2.0)
    images = torch.full((1, 4), 0.5)
    joint, alone = (
        verify.faithfulness(network, network, images, 0.05, method=m).faithub for m in ("joint", "alpha-crown")
    )
    assert joint < 0.4 * alone


@pytest.mark.parametrize("seed", range(12))
def test_awkward_weights_are_rounded_outward(seed: int) -> None:
    teacher, student = awkward_network([3, 4, 3], seed), awkward_network([3, 3, 4, 3], seed + 500)
    images = torch.rand((1, 3), generator=torch.Generator().manual_seed(seed))
    eps = 10.0 ** -(seed % 9)
    joint = JointBound(problem_of(teacher, student, Region.ball(images, eps, None)))
    rows = every_query(joint)
    found = joint.search(rows, *joint.start(rows), Schedule(steps=10))
    bound = joint.engine.prove(joint.task(rows), found.numbers, found.free)
    for signs in product((-1, 0, 1), repeat=3):
        point = [Fraction(x) + s * Fraction(eps) for x, s in zip(images[0].tolist(), signs, strict=True)]
        exact = [exact_difference(teacher, student, point, label) for label in range(3)]
        for (label, sign), value in zip(label_and_sign(rows), bound.tolist(), strict=True):
            least, most = exact[label]
            # The rational values are themselves off by at most 1e-24.
            if value < 2:
                assert Fraction(value) + Fraction(1, 10**20) >= (-most if sign else least)
