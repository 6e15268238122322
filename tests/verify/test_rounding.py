"""Bounds against exact rational arithmetic: weights from 1e-8 to 1e8, cancelling sums, and every sum at the limit of its budget."""

import re
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
import torch

import verify
from tests.verify.problems import KERNELS, problem_of
from tests.verify.rationals import awkward, awkward_network, exact_logits, exponential
from verify import Region, ReluNetwork
from verify.attained.replay import logits_at
from verify.branching.neurons import NeuronProblems
from verify.joint.bound import JointBound
from verify.joint.problem import Options, Problem
from verify.joint.tightening import Tightening
from verify.measures.margin import Margin
from verify.measures.softmax import confidence_bounds
from verify.measures.subproblem import Subproblems
from verify.network import read_pair
from verify.single.crown import crown_bounds, crown_rows
from verify.single.interval import interval_bounds
from verify.single.lagrangian import lagrangian_bound


@pytest.mark.parametrize("seed", range(25))
def test_linear_rows_are_rounded_outward(seed: int) -> None:
    network = awkward_network([6, 4], seed)
    images = awkward(1, 6, seed + 99).abs().clamp(max=1)
    region = Region.ball(images, 1e-3 * (seed + 1), None)
    rows = awkward(3, 4, seed + 7)
    lower, upper = crown_rows(network, region, interval_bounds(network, region), rows)
    radius = Fraction(1e-3 * (seed + 1))
    for row, low, high in zip(rows.tolist(), lower[0].tolist(), upper[0].tolist(), strict=True):
        weights = [
            sum(Fraction(r) * Fraction(w) for r, w in zip(row, column, strict=True))
            for column in network.weights[0].T.tolist()
        ]
        middle = sum(Fraction(r) * Fraction(b) for r, b in zip(row, network.biases[0].tolist(), strict=True))
        middle += sum(w * Fraction(x) for w, x in zip(weights, images[0].tolist(), strict=True))
        spread = radius * sum(abs(w) for w in weights)
        assert Fraction(low) <= middle - spread
        assert Fraction(high) >= middle + spread


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("method", ["interval", "crown", "alpha-crown"])
def test_corners_do_not_escape(seed: int, method: str) -> None:
    network = awkward_network([3, 4, 4, 3], seed)
    images = torch.rand((1, 3), generator=torch.Generator().manual_seed(seed))
    eps = 10.0 ** -(seed % 9)
    region = Region.ball(images, eps, None)
    lower, upper = verify.logit_differences(network, region, method)
    for signs in product((-1, 0, 1), repeat=3):
        point = [Fraction(x) + s * Fraction(eps) for x, s in zip(images[0].tolist(), signs, strict=True)]
        logits = exact_logits(network, point)
        for i, j in product(range(3), repeat=2):
            assert Fraction(lower[0, i, j].item()) <= logits[j] - logits[i] <= Fraction(upper[0, i, j].item())


@pytest.mark.parametrize("seed", range(25))
def test_replay_encloses_the_exact_logits(seed: int) -> None:
    network = awkward_network([4, 5, 5, 3], seed)
    point = torch.rand((1, 4), generator=torch.Generator().manual_seed(seed))
    lower, upper = logits_at(network, point)
    for exact, low, high in zip(
        exact_logits(network, [Fraction(x) for x in point[0].tolist()]), lower[0], upper[0], strict=True
    ):
        assert Fraction(low.item()) <= exact <= Fraction(high.item())


@pytest.mark.parametrize("differences", [[0.1, -3.0], [700.0, 1.0], [-40.0, -45.5], [1e-17, -1e-17], [36.7, -800.0]])
def test_confidences_enclose_the_exact_softmax(differences: list[float]) -> None:
    d = torch.tensor([0.0, *differences], dtype=torch.float64)
    square = (d[None, :] - d[:, None])[None]
    lower, upper = confidence_bounds(square, square)
    exponents = [exponential(Fraction(value)) for value in square[0, 0].tolist()]
    smallest = 1 / sum((high for _, high in exponents), Fraction(0))
    largest = 1 / sum((low for low, _ in exponents), Fraction(0))
    assert Fraction(lower[0, 0].item()) <= smallest
    assert largest <= Fraction(upper[0, 0].item()) + Fraction(1, 10**24)
    assert upper[0, 0] - lower[0, 0] < 1e-12


def test_no_other_file_writes_a_gamma() -> None:
    folder = Path(verify.__file__).parent
    pattern = re.compile(r"\bgamma\(|nextafter\(|UNIT_ROUNDOFF|2\.0\*\*-53")
    wrong = [p.name for p in folder.rglob("*.py") if p.name != "rounding.py" and pattern.search(p.read_text())]
    assert wrong == []


# A sum M + c + ... + c - M whose small terms are each a fraction of M's last place, so that all of them are lost.
BIG = 2.0**40
LOST = [(4096, 0.45), (4096, 0.499)]


def short(value: float) -> float:
    return torch.tensor(value, dtype=torch.float32).double().item()


def constant_network(*layers: tuple[torch.Tensor, torch.Tensor]) -> ReluNetwork:
    weights, biases = zip(*layers, strict=True)
    return ReluNetwork(tuple(weights), tuple(biases), tuple(torch.zeros_like(bias) for bias in biases))


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


def cancelling(neurons: int = 17) -> ReluNetwork:
    """Logits (0, M - M) of one input that does not matter; M comes first and last among its neurons."""
    bias, row = zeros(neurons), zeros(2, neurons)
    bias[0] = bias[-1] = BIG
    row[1, 0], row[1, -1] = 1, -1
    return constant_network((zeros(neurons, 1), bias), (row, zeros(2)))


def wide(count: int, fraction: float) -> tuple[ReluNetwork, Fraction]:
    """Logits (0, d) of one input that does not matter, d a sum of `count` terms of a fraction of M's last place, less most of it."""
    c = short(fraction * BIG * 2.0**-52)
    row, bias = torch.full((2, count), c, dtype=torch.float64), zeros(2)
    row[0] = 0
    bias[1] = short(1.0 - c * count)
    network = constant_network((zeros(count, 1), torch.ones(count, dtype=torch.float64)), (row, bias))
    return network, Fraction(c) * count + Fraction(bias[1].item())


def late(count: int, fraction: float, first: bool = True) -> tuple[ReluNetwork, Fraction]:
    """The same of one network: M is a bias of its second and of its third layer, the small terms are biases of its third.

    first: whether M comes before the small terms, on the way back from the logits, or after them.
    """
    c = short(fraction * BIG * 2.0**-52)
    place = 0 if first else count
    third, last = torch.full((count + 1,), c, dtype=torch.float64), torch.ones((2, count + 1), dtype=torch.float64)
    through = zeros(count + 1, 1)
    # This neuron is M + 1024 - M, and active beyond doubt; its own layer and the one before it hold the two.
    third[place], through[place] = BIG + 1024, -1
    last[0] = 0
    second, least = torch.full((1,), BIG, dtype=torch.float64), torch.tensor([0.0, -1024], dtype=torch.float64)
    network = constant_network((zeros(1, 1), zeros(1)), (zeros(1, 1), second), (through, third), (last, least))
    return network, Fraction(c) * count


def joint_of(teacher: ReluNetwork, student: ReluNetwork) -> tuple[JointBound, Subproblems]:
    """The query in which the student's confidence in class 1 is to be large."""
    problem = problem_of(teacher, student, Region.ball(torch.full((1, 1), 0.5), 0.1))
    joint = JointBound(problem)
    zero = torch.zeros(1, dtype=torch.int64)
    return joint, joint.root(zero, zero + 3, problem.tight)


@pytest.mark.parametrize("method", ["interval", "crown", "alpha-crown", "lp", "joint", "complete"])
@pytest.mark.parametrize(("count", "fraction"), LOST)
def test_sums_over_both_networks_at_their_limit(method: str, count: int, fraction: float) -> None:
    student, d = wide(count, fraction)
    _, high = (1 / (1 + end) for end in exponential(-d)[::-1])
    for teacher, other in ((cancelling(), student), (student, cancelling())):
        result = verify.faithfulness(
            teacher, other, torch.full((1, 1), 0.5), 0.1, method=method, search=False, max_nodes=20
        )
        assert Fraction(result.faithub.item()) >= high - Fraction(1, 2) - Fraction(1, 10**15)


@pytest.mark.parametrize(("count", "fraction"), LOST)
def test_the_joint_constant_at_its_limit(count: int, fraction: float) -> None:
    """The linear function of a pair, with the cancelling network's coefficients as large as those of the other."""
    student, d = wide(count, fraction)
    joint, rows = joint_of(cancelling(), student)
    lam = zeros(1, 2)
    free = torch.cat((lam, zeros(1, 6)), dim=1)
    # lam = 0 leaves kappa = 1 - 0 and the planes nu . d of the student (up) and g . d of the teacher (down).
    free[:, 2 + 2 + 0] = 1.0
    free[:, 2 + 4 + 0] = 1.0
    at = joint.cut(rows, torch.zeros((1, rows.layout.width)), free)
    truth = _head_constant(joint, rows, free) + -d + 0
    corner = Fraction(at.constant.item()) + Fraction(at.error.item())
    assert corner >= truth


def _head_constant(joint: JointBound, rows: Subproblems, free: torch.Tensor) -> Fraction:
    """The head's own constant at these free numbers, which is exact here but for its error: taken at its least."""
    head = joint.measure.objective(rows, torch.float64)
    point = head.at(free)
    return Fraction(point.value.item()) - Fraction(head.error(point).item())


@pytest.mark.parametrize(("count", "fraction"), LOST)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_networks_own_constant_at_its_limit(count: int, fraction: float, sign: float, first: bool) -> None:
    """One network's sum over all its layers: CROWN, the Lagrangian, a neuron's problem."""
    network, d = late(count, fraction, first)
    region = Region.ball(torch.full((1, 1), 0.5), 0.1)
    bounds = crown_bounds(network, region)
    row = sign * torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    exact = d if sign > 0 else -d
    lower, upper = crown_rows(network, region, bounds, row)
    assert Fraction(lower.item()) <= exact <= Fraction(upper.item())
    multipliers = [torch.zeros((1, 1, low.shape[1]), dtype=torch.float64) for low in bounds.lower[:-1]]
    assert Fraction(lagrangian_bound(network, region, bounds, row[None], multipliers).item()) >= exact
    zero = torch.zeros(1, dtype=torch.int64)
    problems = NeuronProblems(network, region, bounds.upto(network.depth - 1), zero, zero + 1)
    found = problems.solve(torch.full((2,), torch.inf, dtype=torch.float64), 2)
    assert Fraction(found[0].item()) >= d
    assert Fraction(found[1].item()) >= -d


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("count", "fraction"), LOST)
def test_tightened_bounds_at_their_limit(
    count: int, fraction: float, compiled: bool, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        for name in KERNELS:
            monkeypatch.setattr(name, lambda: None)
    network, d = late(count, fraction, first)
    joint, rows = joint_of(cancelling(), network)
    layout = rows.layout
    wider = rows.boxed(rows.lower.clone(), rows.upper.clone())
    wider.lower[:, layout.measure], wider.upper[:, layout.measure] = -1e9, 1e9
    is_label = torch.nn.functional.one_hot(rows.query // 2, 2).bool()
    zero = torch.nn.functional.pad(is_label.repeat(1, 2), (layout.width, 2 + layout.inputs))
    wider = wider.boxed(wider.lower.masked_fill(zero, 0.0), wider.upper.masked_fill(zero, 0.0))
    cut = joint.cut(rows, *joint.start(rows))
    tightened = Tightening(joint)(wider, cut, cut.largest() - 1.0)
    place = layout.width + 2  # The student's difference of class 0 from the label, which is -d.
    assert Fraction(tightened.lower[0, place].item()) <= -d <= Fraction(tightened.upper[0, place].item())
    assert tightened.upper[0, place] < 1e9


@pytest.mark.parametrize(("count", "fraction"), LOST)
def test_the_margins_of_two_decisions_at_their_limit(count: int, fraction: float) -> None:
    student, d = wide(count, fraction)
    region = Region.ball(torch.full((1, 1), 0.5), 0.1)
    problem = Problem(read_pair(cancelling(), student, region), region, Margin(2), Options())
    joint = JointBound(problem)
    image, query = (~(problem.measure.separate(problem.tight) < 0)).nonzero(as_tuple=True)
    rows = joint.root(image, query, problem.tight)
    for k, (label, other) in enumerate(divmod(number, 2) for number in query.tolist()):
        own = rows[torch.tensor([k])]
        cut = joint.cut(own, *joint.start(own))
        assert label != other
        margin = (d if other == 1 else -d) / 2
        assert Fraction(cut.constant.item()) + Fraction(cut.error.item()) >= margin


@pytest.mark.parametrize(("count", "fraction"), LOST)
def test_sums_over_outputs_and_over_inputs_at_their_limit(count: int, fraction: float) -> None:
    """A step back through a layer of many outputs, and the corner of many inputs."""
    c = short(fraction * BIG * 2.0**-52)
    column = torch.full((count, 1), c, dtype=torch.float64)
    column[0, 0], column[-1, 0] = BIG, -BIG
    fan_in = constant_network((column, zeros(count)))
    region = Region.ball(torch.ones((1, 1)), 0.0, None)
    exact = Fraction(c) * (count - 2)
    _, upper = crown_rows(fan_in, region, crown_bounds(fan_in, region), torch.ones((1, count), dtype=torch.float64))
    assert Fraction(upper.item()) >= exact
    row = torch.cat((column.T, zeros(1, count)))
    many = constant_network((row, zeros(2)))
    wide_region = Region.ball(torch.ones((1, count)), 0.0, None)
    for method in ("interval", "crown"):
        lower, upper = verify.logit_differences(many, wide_region, method)
        assert Fraction(lower[0, 1, 0].item()) <= exact <= Fraction(upper[0, 1, 0].item())
