"""No sampled point escapes any bound of any method, with the search switched off as well as on."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

import verify
from tests.support import confidences_difference, grid, random_network, samples
from verify import METHODS, Region
from verify.attained.incumbent import Incumbent
from verify.errors import Unsound
from verify.joint.problem import Outcome, Problem
from verify.methods import Method, chain_of
from verify.single.differences import DIFFERENCES

# Quick limits, so that a method with a time limit ends with an early and still sound answer.
LIMITS = {"timeout": 1.0, "max_nodes": 60}
SHAPES = [([2, 4, 3], [2, 5, 4, 3]), ([2, 6, 5, 2], [2, 3, 2]), ([2, 5, 5, 5, 4], [2, 4])]


@pytest.mark.parametrize("method", ["interval", "crown", "alpha-crown"])
@pytest.mark.parametrize("seed", range(6))
def test_layer_bounds_enclose_samples(method: str, seed: int) -> None:
    network = random_network([5, 8, 7, 6, 4], seed)
    region = Region.ball(torch.rand((7, 5), generator=torch.Generator().manual_seed(seed)), 0.15)
    bounds = verify.bounds(network, region, method)
    values = samples(region, 400, seed)
    for k in range(network.depth):
        values = values if k == 0 else values.relu()
        values = values @ network.weights[k].T + network.biases[k]
        assert (values >= bounds.lower[k][:, None]).all()
        assert (values <= bounds.upper[k][:, None]).all()


@pytest.mark.parametrize("method", list(DIFFERENCES))
@pytest.mark.parametrize("seed", range(6))
def test_logit_differences_enclose_samples(method: str, seed: int) -> None:
    network = random_network([4, 9, 8, 5], seed, scale=1.5)
    region = Region.ball(torch.rand((5, 4), generator=torch.Generator().manual_seed(seed)), 0.2)
    lower, upper = verify.logit_differences(network, region, method)
    logits = network(samples(region, 400, seed))
    differences = logits[..., None, :] - logits[..., :, None]
    assert (differences >= lower[:, None]).all()
    assert (differences <= upper[:, None]).all()


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("shapes", SHAPES)
def test_faithub_is_above_a_fine_grid(method: str, search: bool, shapes: tuple[list[int], list[int]]) -> None:
    teacher, student = (random_network(sizes, seed, scale=1.5) for seed, sizes in enumerate(shapes))
    images = torch.rand((4, 2), generator=torch.Generator().manual_seed(len(shapes[0])))
    for eps in (0.05, 0.3):
        region = Region.ball(images, eps)
        truth = confidences_difference(teacher, student, grid(region, 101)).amax(dim=1)
        result = verify.faithfulness(teacher, student, images, eps, method=method, search=search, **LIMITS)
        slack = 1e-6 if METHODS[method].proof == "solver" else 0.0
        assert (result.faithub + slack >= truth).all()
        assert (result.emplb <= result.faithub).all()
        assert region.contains(result.witness.flatten(1)).all()
        replayed = confidences_difference(teacher, student, result.witness.flatten(1).double())
        assert torch.allclose(replayed, result.emplb, atol=1e-9)
        assert (replayed >= result.emplb).all()


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.cheaper])
def test_no_method_is_worse_than_a_cheaper_one(method: str) -> None:
    teacher, student = random_network([3, 8, 8, 4], 1, 1.5), random_network([3, 6, 5, 4], 2, 1.5)
    images = torch.rand((5, 3), generator=torch.Generator().manual_seed(0))
    faithub = [
        verify.faithfulness(teacher, student, images, 0.2, method=step.name, **LIMITS).faithub
        for step in chain_of(method)
    ]
    for cheaper, tighter in pairwise(faithub):
        assert (tighter <= cheaper).all()


@pytest.mark.parametrize("name", list(METHODS))
def test_the_number_of_images_does_not_matter(name: str) -> None:
    teacher, student = random_network([3, 6, 4], 3), random_network([3, 5, 4], 4)
    images = torch.rand((6, 3), generator=torch.Generator().manual_seed(1))
    together = verify.faithfulness(teacher, student, images, 0.1, method=name, **LIMITS)
    alone = [verify.faithfulness(teacher, student, images[k : k + 1], 0.1, method=name, **LIMITS) for k in range(6)]
    for attribute in ("emplb", "faithub"):
        assert torch.allclose(
            getattr(together, attribute), torch.cat([getattr(one, attribute) for one in alone]), atol=5e-3
        )


def test_an_unsound_bound_is_caught_not_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    def vanishing(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
        return Outcome(torch.zeros_like(best))

    monkeypatch.setitem(METHODS, "planted", Method("planted", vanishing, "a bound that is too good to be true"))
    teacher, student = random_network([2, 4, 3], 5), random_network([2, 4, 3], 6)
    with pytest.raises(Unsound, match="FAITHUB"):
        verify.faithfulness(teacher, student, torch.full((2, 2), 0.5), 0.1, method="planted")


@pytest.mark.parametrize("name", list(METHODS))
def test_radius_zero_closes_the_interval(name: str) -> None:
    teacher, student = random_network([3, 6, 4], 3), random_network([3, 5, 4], 4)
    images = torch.rand((3, 3), generator=torch.Generator().manual_seed(1))
    result = verify.faithfulness(teacher, student, images, 0.0, method=name, **LIMITS)
    assert (result.faithub - result.emplb <= 1e-6).all()
    assert torch.equal(result.witness, images)


def test_imitation_follows_the_interval() -> None:
    teacher, student = random_network([2, 4, 3], 5), random_network([2, 4, 3], 6)
    images = torch.rand((6, 2), generator=torch.Generator().manual_seed(2))
    interval = verify.faithfulness(teacher, student, images, 0.1, method="alpha-crown")
    for delta in (0.0, 0.2, 1.0):
        answers = verify.imitation(teacher, student, images, 0.1, delta, method="alpha-crown")
        for answer, low, high in zip(answers, interval.emplb, interval.faithub, strict=True):
            expected = "proved" if high <= delta else "refuted" if low > delta else "undecided"
            assert answer == expected
