"""Searches stay in their region, find what is there, and do not depend on which other images they run beside."""

from itertools import pairwise

import torch

from tests.support import confidences_difference, grid, random_network
from verify import Region
from verify.attained.ascent import ascend, uniform_starts
from verify.attained.search import paper_search, targeted_search
from verify.measures.confidence import Confidence


def test_ascent_reaches_the_best_corner_of_a_linear_objective() -> None:
    slope = torch.tensor([1.0, -2.0, 0.5])
    lower, upper = torch.zeros(1, 3), torch.ones(1, 3)
    seen: list[torch.Tensor] = []
    last = ascend(
        lambda x: x @ slope,
        torch.full((1, 3), 0.5),
        (lower, upper),
        steps=10,
        step_size=0.1,
        observe=lambda x, v: seen.append(v),
    )
    assert torch.equal(last, torch.tensor([[1.0, 0.0, 1.0]]))
    assert len(seen) == 11
    assert all(later >= earlier for earlier, later in pairwise(seen))


def test_the_two_searches_come_near_a_fine_grid() -> None:
    teacher, student = random_network([2, 12, 12, 4], 1, 1.5), random_network([2, 8, 8, 4], 2, 1.5)
    region = Region.ball(torch.rand((8, 2), generator=torch.Generator().manual_seed(3)), 0.2)
    truth = confidences_difference(teacher, student, grid(region, 201)).amax(dim=1)
    pair, measure, every_query = (teacher, student), Confidence(4), torch.ones((8, 8), dtype=torch.bool)
    for points in (paper_search(pair, measure, region), targeted_search(pair, measure, region, every_query)):
        assert region.contains(points).all()
        found = confidences_difference(teacher, student, points.double())
        assert (found <= truth + 1e-3).all()
        assert (truth - found).median() <= 0.02


def test_starts_depend_on_the_image_and_the_seed_only() -> None:
    images = torch.rand((5, 7), generator=torch.Generator().manual_seed(4))
    starts = uniform_starts(Region.ball(images, 0.1), 3, seed=0)
    shuffled = uniform_starts(Region.ball(images[[3, 1]], 0.1), 3, seed=0)
    assert torch.equal(starts[[3, 1]], shuffled)
    assert not torch.equal(starts, uniform_starts(Region.ball(images, 0.1), 3, seed=1))


def test_the_image_itself_counts() -> None:
    network = random_network([3, 4, 3], 5)
    region = Region.ball(torch.full((2, 3), 0.5), 0.0)
    assert torch.equal(paper_search((network, network), Confidence(3), region), torch.full((2, 3), 0.5))
