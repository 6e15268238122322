"""Bounds of single neurons by branch and bound: sound, never wider, and tight where every part is small."""

from fractions import Fraction
from itertools import product

import pytest
import torch

from tests.support import grid, random_network, samples
from tests.verify.problems import KERNELS
from tests.verify.rationals import awkward_network, exact_hidden
from verify import Region, ReluNetwork
from verify.branching.neurons import refined
from verify.single.crown import crown_bounds


def pre_activations(network: ReluNetwork, points: torch.Tensor) -> list[torch.Tensor]:
    """Those of every hidden layer at points `(n, m, d)`."""
    values, x = [], points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        values.append(x @ weight.T + bias)
        x = values[-1].relu()
    return values


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_escapes_and_nothing_widens(seed: int, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        for name in KERNELS:
            monkeypatch.setattr(name, lambda: None)
    inputs = 2 + 3 * (seed % 2)
    network = random_network([inputs, 9, 8, 7, 4], seed, 1.5)
    region = Region.ball(torch.rand((3, inputs), generator=torch.Generator().manual_seed(seed)), 0.2)
    start = crown_bounds(network, region)
    points = grid(region, 31) if inputs == 2 else samples(region, 3000)
    widths = [sum(float((high - low).sum()) for low, high in zip(start.lower, start.upper, strict=True))]
    for leaves in (1, 4, 40):
        bounds = refined(network, region, start, leaves)
        for k, values in enumerate(pre_activations(network, points)):
            assert (bounds.lower[k] <= values.amin(dim=1)).all()
            assert (values.amax(dim=1) <= bounds.upper[k]).all()
            assert (bounds.lower[k] >= start.lower[k]).all()
            assert (bounds.upper[k] <= start.upper[k]).all()
        widths.append(sum(float((high - low).sum()) for low, high in zip(bounds.lower, bounds.upper, strict=True)))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0]


@pytest.mark.parametrize("seed", range(4))
def test_many_leaves_find_the_truth(seed: int) -> None:
    network = random_network([2, 6, 6, 3], seed, 1.5)
    region = Region.ball(torch.rand((2, 2), generator=torch.Generator().manual_seed(seed)), 0.2)
    start = crown_bounds(network, region)
    bounds = refined(network, region, start, 1000)
    values = pre_activations(network, grid(region, 201))[1]
    unstable = (start.lower[1] < 0) & (start.upper[1] > 0)
    crossing = unstable & (values.amin(dim=1) < 0) & (values.amax(dim=1) > 0)
    assert crossing.any()
    box = (start.upper[1] - start.lower[1])[crossing]
    assert ((bounds.upper[1] - values.amax(dim=1))[crossing] <= 0.03 * box).all()
    assert ((values.amin(dim=1) - bounds.lower[1])[crossing] <= 0.03 * box).all()


@pytest.mark.parametrize("seed", range(12))
def test_rounding_is_covered(seed: int) -> None:
    network = awkward_network([3, 4, 4, 4, 3], seed)
    images = torch.rand((1, 3), generator=torch.Generator().manual_seed(seed))
    eps = 10.0 ** -(seed % 6)
    region = Region.ball(images, eps, None)
    bounds = refined(network, region, crown_bounds(network, region), 8)
    lower, upper = (torch.cat(side[:-1], dim=1)[0].tolist() for side in (bounds.lower, bounds.upper))
    for signs in product((-1, 0, 1), repeat=3):
        point = [Fraction(x) + s * Fraction(eps) for x, s in zip(images[0].tolist(), signs, strict=True)]
        for value, low, high in zip(exact_hidden(network, point), lower, upper, strict=True):
            assert Fraction(low) <= value <= Fraction(high)


def test_networks_without_a_second_hidden_layer_stay_as_they_are() -> None:
    region = Region.ball(torch.rand((1, 3)), 0.1)
    for sizes in ([3, 2], [3, 5, 2]):
        network = random_network(sizes, 0)
        start = crown_bounds(network, region)
        bounds = refined(network, region, start, 8)
        for mine, theirs in zip((*bounds.lower, *bounds.upper), (*start.lower, *start.upper), strict=True):
            assert torch.equal(mine, theirs)
