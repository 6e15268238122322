"""Branch and bound: sound on random pairs with the search on and off, anytime, repeatable, and bounded in memory."""

import random
from functools import partial
from itertools import product

import pytest
import torch

import verify
from tests.support import confidences_difference, grid, random_network, samples
from tests.verify.problems import every_query, problem_of, query_values
from verify import Region, ReluNetwork
from verify.attained.ascent import ascend
from verify.branching.choice import costs, split
from verify.branching.loop import Loop, Plan
from verify.branching.pool import Nodes, Pool
from verify.joint.bound import JointBound
from verify.joint.problem import Problem, Progress
from verify.joint.tightening import Tightening
from verify.measures.subproblem import Subproblems
from verify.passes.optimise import Schedule


def random_pair(inputs: int, seed: int) -> tuple[ReluNetwork, ReluNetwork, float]:
    """Two networks of unequal depths and widths, 2 to 10 classes, and a radius."""
    source = random.Random(seed)
    classes = source.randint(2, 10)
    scale = source.choice([0.5, 1.0, 2.0, 4.0])

    def sizes() -> list[int]:
        return [inputs, *(source.randint(2, 9) for _ in range(source.randint(0, 4))), classes]

    eps = source.choice([0.02, 0.1, 0.3])
    return random_network(sizes(), 2 * seed, scale), random_network(sizes(), 2 * seed + 1, scale), eps


def lipschitz(network: ReluNetwork) -> float:
    """A Lipschitz constant of every confidence in the maximum norm of the input: each softmax entry has slope at most 1/2."""
    product_of_norms = 1.0
    for weight in network.weights:
        product_of_norms *= float(weight.abs().sum(dim=1).max())
    return 0.5 * product_of_norms


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("group", range(10))
def test_few_inputs_against_a_grid(group: int, search: bool) -> None:
    for k in range(12):
        inputs = 1 + k % 2
        teacher, student, eps = random_pair(inputs, 100 * group + k)
        images = torch.rand((1, inputs), generator=torch.Generator().manual_seed(k))
        points = 1001 if inputs == 1 else 41
        region = Region.ball(images, eps)
        truth = confidences_difference(teacher, student, grid(region, points)).amax(dim=1)
        margin = (lipschitz(teacher) + lipschitz(student)) * eps / (points - 1)
        result = verify.faithfulness(teacher, student, images, eps, method="complete", search=search, max_nodes=60)
        assert (result.faithub >= truth).all()
        assert (result.emplb <= truth + margin).all()
        assert (result.emplb <= result.faithub).all()


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("group", range(8))
def test_more_inputs_against_samples_vertices_and_ascents(group: int, search: bool) -> None:
    for k in range(10):
        inputs = 3 + k % 2
        teacher, student, eps = random_pair(inputs, 5000 + 100 * group + k)
        images = torch.rand((1, inputs), generator=torch.Generator().manual_seed(k))
        region = Region.ball(images, eps)
        corners = torch.tensor(list(product((0.0, 1.0), repeat=inputs)), dtype=torch.float64)
        points = torch.cat((samples(region, 500)[0], region.lower + (region.upper - region.lower) * corners))
        best = ascend(
            lambda x, pair=(teacher, student): confidences_difference(*pair, x),
            points[:40], (region.lower, region.upper), steps=30, step_size=eps / 15,
        )  # fmt: skip
        reached = confidences_difference(teacher, student, torch.cat((points, best))).amax()
        result = verify.faithfulness(teacher, student, images, eps, method="complete", search=search, max_nodes=40)
        assert result.faithub >= reached
        assert result.emplb <= result.faithub


@pytest.mark.slow
@pytest.mark.parametrize("gap", [-0.5, -0.1])
def test_a_level_below_the_truth_proves_nothing_false(gap: float) -> None:
    """Leaves are bounded where the query exceeds EMPLB + gap; a level that is too low must not hide what lies above it."""
    for k in range(12):
        teacher, student, eps = random_pair(2, 9000 + k)
        images = torch.rand((1, 2), generator=torch.Generator().manual_seed(k))
        truth = confidences_difference(teacher, student, grid(Region.ball(images, eps), 61)).amax(dim=1)
        result = verify.faithfulness(
            teacher, student, images, eps, method="complete", search=False, gap=gap, max_nodes=80, timeout=300.0
        )
        assert (result.faithub >= truth).all()


@pytest.mark.parametrize("place", [0.31, 0.487, 0.7])
@pytest.mark.parametrize("search", [True, False])
def test_a_planted_peak_is_never_certified_below(place: float, search: bool) -> None:
    # Logits (0, t): the teacher's t is -2; the student adds a peak of height 3 and width 2e-4 at one input.
    peak = torch.tensor([place - 1e-4, place, place + 1e-4], dtype=torch.float64)
    student = ReluNetwork(
        (torch.ones(3, 1, dtype=torch.float64), torch.tensor([[0.0, 0, 0], [3e4, -6e4, 3e4]], dtype=torch.float64)),
        (-peak, torch.tensor([0.0, -2.0], dtype=torch.float64)),
        (torch.zeros(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)),
    )
    teacher = ReluNetwork(
        (torch.zeros(2, 1, dtype=torch.float64),),
        (torch.tensor([0.0, -2.0], dtype=torch.float64),),
        (torch.zeros(2, dtype=torch.float64),),
    )
    truth = confidences_difference(teacher, student, torch.tensor([[place]], dtype=torch.float64))
    assert truth > 0.6
    result = verify.faithfulness(
        teacher, student, torch.tensor([[0.5]]), 0.3, method="complete", search=search, max_nodes=400
    )
    assert result.faithub >= truth


def hard_problem(
    images: int = 2, **options: object
) -> tuple[ReluNetwork, ReluNetwork, torch.Tensor, dict[str, object]]:
    teacher, student = random_network([6, 16, 16, 16, 5], 1), random_network([6, 12, 12, 12, 5], 2)
    return teacher, student, torch.rand((images, 6), generator=torch.Generator().manual_seed(3))


def test_more_nodes_give_tighter_bounds_and_then_close() -> None:
    teacher, student, images = hard_problem()
    limits = [1, 12, 4000]
    results = [
        verify.faithfulness(teacher, student, images, 0.17, method="complete", gap=1e-3, max_nodes=nodes, timeout=300.0)
        for nodes in limits
    ]
    assert results[0].status == ("node-limit",) * 2
    assert results[1].faithub.mean() < results[0].faithub.mean()
    assert results[2].status == ("closed",) * 2
    assert (results[2].gap <= 1e-3).all()
    for nodes, result in zip(limits, results, strict=True):
        # An image's roots, one for each open query, are nodes too.
        assert (result.nodes <= nodes + 10).all()


def test_the_node_limit_repeats_exactly_and_the_order_of_images_does_not_matter() -> None:
    teacher, student, images = hard_problem(4)
    first, second, turned = (
        verify.faithfulness(teacher, student, order, 0.3, method="complete", gap=1e-3, max_nodes=60, timeout=300.0)
        for order in (images, images, images.flip(0))
    )
    assert torch.equal(first.faithub, second.faithub)
    assert torch.equal(first.nodes, second.nodes)
    assert torch.allclose(first.faithub, turned.faithub.flip(0), atol=1e-3)


def test_memory_is_bounded() -> None:
    teacher, student, images = hard_problem()
    limits = {"gap": 1e-4, "max_nodes": 600, "timeout": 300.0}
    free = verify.faithfulness(teacher, student, images, 0.3, method="complete", **limits)
    assert free.status == ("node-limit",) * 2
    tight = verify.faithfulness(teacher, student, images, 0.3, method="complete", max_bytes=60_000, **limits)
    assert "memory-limit" in tight.status
    assert (tight.faithub >= free.emplb).all()
    assert (tight.nodes <= free.nodes + 1).all()


def test_the_pool_holds_no_more_than_its_limit() -> None:
    teacher, student, images = hard_problem()
    joint = JointBound(problem_of(teacher, student, Region.ball(images, 0.3)))
    rows = every_query(joint)
    numbers, free = joint.start(rows)
    n = len(rows)
    nodes = Nodes(rows, numbers, free, torch.arange(n).double(), torch.zeros(n).long(), torch.zeros(n), torch.zeros(n))
    size = sum(column.numel() * column.element_size() for column in nodes.columns()) // n
    pool = Pool(nodes, 7 * size)
    pool.add(nodes[torch.arange(5)])
    assert pool.room() == 2
    assert sum(column.numel() * column.element_size() for column in pool.columns) <= 7 * size
    with pytest.raises(AssertionError, match="limit"):
        pool.add(nodes[torch.arange(5, 8)])
    slots, *_, bound = pool.listing()
    chosen = slots[bound >= 3]
    assert torch.equal(pool.peek(chosen).subproblems.lower, rows.lower[3:5])
    pool.remove(chosen)
    pool.add(nodes[torch.arange(5, 9)])
    assert pool.listing()[-1].sort().values.tolist() == [0, 1, 2, 5, 6, 7, 8]


def test_an_interruption_keeps_what_is_proved() -> None:
    teacher, student, images = hard_problem()
    calls: list[Progress] = []

    def stop(progress: Progress) -> None:
        calls.append(progress)
        raise KeyboardInterrupt

    result = verify.faithfulness(teacher, student, images, 0.4, method="complete", gap=0.0, timeout=30.0, progress=stop)
    assert len(calls) == 1
    assert result.status == ("interrupted",) * 2
    truth = confidences_difference(teacher, student, samples(Region.ball(images, 0.4), 4000)).amax(dim=1)
    assert (result.faithub >= truth).all()


def sharpen_early(monkeypatch: pytest.MonkeyPatch, *stages: tuple[int, int]) -> None:
    """Begin anew with sharper neurons after so few nodes, and with so many leaves a side."""
    monkeypatch.setattr("verify.methods.complete.Loop", partial(Loop, plan=Plan(stages=stages)))


@pytest.mark.slow
@pytest.mark.parametrize("search", [True, False])
def test_beginning_anew_with_sharper_neurons_stays_sound(search: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sharpen_early(monkeypatch, (2, 2), (6, 5))
    for k in range(20):
        teacher, student, eps = random_pair(2, 9000 + k)
        images = torch.rand((2, 2), generator=torch.Generator().manual_seed(k))
        truth = confidences_difference(teacher, student, grid(Region.ball(images, eps), 41)).amax(dim=1)
        result = verify.faithfulness(teacher, student, images, eps, search=search, gap=1e-4, max_nodes=80)
        assert (result.faithub >= truth).all()
        assert (result.emplb <= result.faithub).all()
        assert (result.faithub <= result.root).all()


def test_an_interruption_while_neurons_are_sharpened_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sharpen_early(monkeypatch, (2, 2))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    teacher, student, images = hard_problem(2)
    places = (
        "verify.branching.loop.sharpened",
        "verify.branching.choice.Choice.__call__",
        "verify.joint.tightening.Tightening.__call__",
    )
    for place in places:
        with monkeypatch.context() as patch:
            patch.setattr(place, stop)
            result = verify.faithfulness(teacher, student, images, 0.4, gap=0.0, timeout=30.0)
        assert result.status == ("interrupted",) * 2
        truth = confidences_difference(teacher, student, samples(Region.ball(images, 0.4), 4000)).amax(dim=1)
        assert (result.faithub >= truth).all()


def test_delta_stops_when_it_is_decided() -> None:
    teacher, student, images = hard_problem(1)
    exact = verify.faithfulness(teacher, student, images, 0.15, method="complete", gap=1e-3)
    above, below = float(exact.faithub) + 0.05, float(exact.emplb) - 0.05
    assert verify.imitation(teacher, student, images, 0.15, above, method="complete") == ("proved",)
    assert verify.imitation(teacher, student, images, 0.15, below, method="complete") == ("refuted",)
    quick = verify.faithfulness(teacher, student, images, 0.15, method="complete", gap=1e-3, delta=above)
    assert int(quick.nodes) < int(exact.nodes)


@pytest.mark.parametrize("seed", range(8))
def test_no_point_of_interest_is_lost(seed: int) -> None:
    """Splits cover their parent; cut and tightened boxes hold every sample whose query exceeds the threshold."""
    teacher, student = random_network([3, 7, 6, 4], 2 * seed, 1.5), random_network([3, 6, 5, 6, 4], 2 * seed + 1, 1.5)
    images = torch.rand((2, 3), generator=torch.Generator().manual_seed(seed))
    problem = problem_of(teacher, student, Region.ball(images, 0.3))
    joint = JointBound(problem)
    rows = every_query(joint)
    points = samples(problem.region, 3000, seed)
    reached = query_values(problem, points)[rows.image, :, rows.query]
    threshold = reached.amax(dim=1) - 0.05
    found = joint.search(rows, *joint.start(rows), Schedule(steps=20))
    cut_rows, hopeless = joint.measure.narrow(rows, threshold)
    assert not (hopeless | cut_rows.empty).any()
    cut = joint.cut(rows, found.numbers, found.free)
    tightened = Tightening(joint)(cut_rows, cut, threshold)
    final, hopeless = joint.measure.narrow(tightened, threshold)
    assert not (hopeless | final.empty).any()
    assert ((final.upper - final.lower) < (rows.upper - rows.lower)).any()
    values = variables(problem, rows, points)
    interesting = (reached > threshold[:, None])[..., None]
    inside = (values >= final.lower[:, None].double() - 1e-9) & (values <= final.upper[:, None].double() + 1e-9)
    assert (inside | ~interesting).all()
    cost, value = costs(joint, rows, found)
    for k in torch.randperm(cost.shape[1], generator=torch.Generator().manual_seed(seed))[:12].tolist():
        variable = torch.full_like(rows.image, k)
        below, above = split(rows, variable, value[:, k])
        at = values[..., k]
        assert ((at <= below.upper[:, None, k].double()) | (at >= above.lower[:, None, k].double())).all()
        splittable = cost[:, k] >= 0
        assert (below.upper[splittable, k] < rows.upper[splittable, k]).all()
        assert (above.lower[splittable, k] > rows.lower[splittable, k]).all()


def variables(problem: Problem, rows: Subproblems, points: torch.Tensor) -> torch.Tensor:
    """`(rows, m, width + 2 C + 2 + inputs)`: what every variable is at the points; the inputs as shares of the half widths."""
    hidden, differences, lses = [], [], []
    label = rows.query // 2
    is_label = torch.nn.functional.one_hot(label, problem.measure.classes).bool()
    for network in problem.networks:
        z = points @ network.weights[0].T + network.biases[0]
        for weight, bias in zip(network.weights[1:], network.biases[1:], strict=True):
            hidden.append(z[rows.image])
            z = z.relu() @ weight.T + bias
        z = z[rows.image]
        d = z - z.gather(2, label[:, None, None].expand(-1, z.shape[1], 1))
        differences.append(d)
        lses.append(d.masked_fill(is_label[:, None], -torch.inf).logsumexp(-1, keepdim=True))
    lower, upper = problem.region.lower[:, None], problem.region.upper[:, None]
    shares = (points - (lower + upper) / 2) / ((upper - lower) / 2)
    return torch.cat((*hidden, *differences, *lses, shares[rows.image]), dim=2)
