"""A measure and an activation that the package does not have, added here as one class each: every bound takes them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from verify import Options, Region
from verify.attained.ascent import image_points
from verify.attained.incumbent import Incumbent
from verify.joint.problem import Problem
from verify.measures.confidence import Confidence
from verify.measures.measure import Box, Measure
from verify.measures.subproblem import Subproblems
from verify.methods import METHODS
from verify.network.activation import Activation, Neurons
from verify.network.affine import Dense
from verify.network.graph import Network
from verify.passes.objective import Fixed
from verify.rounding import down, line_slack, up
from verify.single.alone import Alone
from verify.single.crown import crown_bounds


class OneLogit(Measure):
    """`|z_t,0 - z_s,0|`: queries 0 and 1 are the two signs."""

    largest = torch.inf

    @property
    def queries(self) -> int:
        return 2

    def separate(self, alone: Alone) -> Tensor:
        (t_low, t_high), (s_low, s_high) = ((own.lower[-1][:, 0], own.upper[-1][:, 0]) for own in alone.layers)
        return up(torch.stack((t_high - s_low, s_high - t_low), dim=1))

    def attained(self, teacher: Box, student: Box) -> Tensor:
        (t_low, t_high), (s_low, s_high) = ((low[:, 0], high[:, 0]) for low, high in (teacher, student))
        return down(torch.stack((t_low - s_high, s_low - t_high), dim=1))

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        difference = teacher[..., 0] - student[..., 0]
        return torch.stack((difference, -difference), dim=-1)

    def objective(self, subproblems: Subproblems, dtype: torch.dtype) -> Fixed:
        form = torch.zeros((len(subproblems), self.classes), dtype=dtype)
        form[:, 0] = 1 - 2 * subproblems.query.to(dtype)
        return Fixed((form, -form))

    def start(self, subproblems: Subproblems, teacher: Tensor, student: Tensor) -> Tensor:
        return teacher.new_zeros((len(subproblems), 0))


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """`max(z, slope z)`, slope in (0, 1)."""

    slope: float = 0.25

    def __call__(self, z: Tensor) -> Tensor:
        return torch.maximum(z, self.slope * z)

    def neurons(self, lower: Tensor, upper: Tensor) -> Neurons:
        loose = (lower < 0) & (upper > 0)
        active = (lower >= 0).to(lower.dtype)
        width = torch.where(loose, upper - lower, torch.ones_like(upper))
        above = torch.where(loose, (upper - self.slope * lower) / width, active + self.slope * (1 - active))
        ends = torch.maximum((self.slope - above) * lower, (1 - above) * upper)
        zero = torch.zeros_like(upper)
        intercept = torch.where(loose, ends + line_slack(lower, upper), zero)
        return Neurons(loose, torch.where(loose, zero, 2 * active - 1), above, intercept, self.slope, 1.0)

    def range(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        return down(self(lower)), up(self(upper))


def network(sizes: list[int], seed: int, activation: Activation) -> Network:
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).double()

    layers = tuple(
        Dense(1.5 * numbers(b, a) / a**0.5, 0.3 * numbers(b), torch.zeros(b, dtype=torch.float64))
        for a, b in pairwise(sizes)
    )
    return Network(layers, (activation,) * (len(layers) - 1))


def problem(measure: type[Measure], activation: Activation) -> Problem:
    pair = network([2, 6, 5, 3], 1, activation), network([2, 5, 3], 2, activation)
    images = torch.rand((4, 2), generator=torch.Generator().manual_seed(3))
    return Problem(pair, Region.ball(images, 0.25), measure(3), Options(gap=0.01, max_nodes=3000, timeout=100.0))


def on_a_grid(asked: Problem, count: int = 301) -> Tensor:
    """The largest value `(n, queries)` over a grid of each box."""
    steps = torch.linspace(-1, 1, count, dtype=torch.float64)
    shares = torch.cartesian_prod(steps, steps)
    region = asked.region
    largest = []
    for k in range(len(region)):
        points = region.middle[k] + shares * region.half[k]
        teacher, student = (net(points) for net in asked.networks)
        largest.append(asked.measure.values(teacher, student).amax(dim=0))
    return torch.stack(largest)


@pytest.mark.parametrize("measure", [OneLogit, Confidence])
@pytest.mark.parametrize("activation", [LeakyRelu(), LeakyRelu(0.7)])
def test_every_bound_takes_them_as_they_are(measure: type[Measure], activation: Activation) -> None:
    asked = problem(measure, activation)
    truth = on_a_grid(asked)
    incumbent = Incumbent.of(asked.networks, asked.measure, asked.region, image_points(asked.region))
    best = truth.new_full(truth.shape, asked.measure.largest)
    for name in ("alpha-crown", "joint", "complete"):
        outcome = METHODS[name].core(asked, best, incumbent)
        assert (outcome.queries >= truth).all(), name
        best = torch.minimum(best, outcome.queries)
    assert outcome.incumbent is not None and all(status == "closed" for status in outcome.status or ())
    # Closed to the gap: what is proved is what the grid attains, up to the gap and the grid's steps.
    assert (best.amax(dim=1) <= truth.amax(dim=1) + 0.012).all()
    assert (outcome.incumbent.emplb <= truth.amax(dim=1) + 0.01).all()


def test_layers_with_another_activation_hold_on_a_grid() -> None:
    asked = problem(Confidence, LeakyRelu())
    bounds = crown_bounds(asked.networks[0], asked.region)
    steps = torch.cartesian_prod(*[torch.linspace(-1, 1, 51, dtype=torch.float64)] * 2)
    for k in range(len(asked.region)):
        z = asked.region.middle[k] + steps * asked.region.half[k]
        for layer, activation, low, high in zip(
            asked.networks[0].layers, (*asked.networks[0].activations, None), bounds.lower, bounds.upper, strict=True
        ):
            z = layer.forward(z)
            assert (z >= low[k]).all() and (z <= high[k]).all()
            z = z if activation is None else activation(z)
