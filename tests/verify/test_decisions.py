"""Certified agreement and robustness hold on a fine grid; refutations are real; planted disagreements are never certified."""

import pytest
import torch

import verify
from tests.support import grid, random_network
from verify import Region, ReluNetwork


def decisions_on(region: Region, network: ReluNetwork) -> torch.Tensor:
    return network(grid(region, 101)).argmax(-1)


def imitator(teacher: ReluNetwork, seed: int) -> ReluNetwork:
    """The teacher with its weights a little off."""
    generator = torch.Generator().manual_seed(seed)
    weights = tuple(w + 0.05 * torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in teacher.weights)
    return ReluNetwork(weights, teacher.biases, teacher.bias_errors)


def images_by_margin(network: ReluNetwork, seed: int) -> torch.Tensor:
    """Twelve images, from ones on the network's decision boundary to ones far from it."""
    pool = 4 * torch.rand((1200, 2), generator=torch.Generator().manual_seed(seed)) - 2
    top = network(pool.double()).topk(2, dim=1).values
    return pool[(top[:, 0] - top[:, 1]).argsort()[:600:50]]


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_agreement_against_a_grid(seed: int, search: bool) -> None:
    teacher = random_network([2, 8, 8, 3], seed)
    student = imitator(teacher, seed)
    images = images_by_margin(teacher, seed)
    region = Region.ball(images, 0.04, None)
    answer = verify.agreement(teacher, student, images, 0.04, valid_range=None, search=search)
    disagrees = (decisions_on(region, teacher) != decisions_on(region, student)).any(dim=1)
    for k, status in enumerate(answer.status):
        if status == "certified":
            assert not disagrees[k]
        if status == "refuted":
            point = answer.witness[k].double()
            assert region[k].contains(point[None]).all()
            assert teacher(point).argmax() != student(point).argmax()
    assert "certified" in answer.status
    assert search <= ("refuted" in answer.status)


@pytest.mark.parametrize("seed", range(4))
def test_robustness_against_a_grid(seed: int) -> None:
    network = random_network([2, 8, 8, 3], seed)
    images = images_by_margin(network, seed)
    labels = network(images.double()).argmax(-1)
    labels[0] = (labels[0] + 1) % 3
    region = Region.ball(images, 0.05, None)
    answer = verify.robustness(network, images, labels, 0.05, valid_range=None)
    changes = (decisions_on(region, network) != labels[:, None]).any(dim=1)
    assert answer.status[0] == "refuted"
    for k, status in enumerate(answer.status):
        if status == "certified":
            assert not changes[k]
        if status == "refuted":
            assert network(answer.witness[k].double()).argmax() != labels[k]
    assert "certified" in answer.status


def test_a_planted_disagreement_is_never_certified() -> None:
    # Two classes, logits (0.25, t): the teacher's t is 0, the student's is a peak of height 1 and width 2e-3 at x = 0.71.
    peak = torch.tensor([0.709, 0.71, 0.711], dtype=torch.float64)
    student = ReluNetwork(
        (torch.ones(3, 1, dtype=torch.float64), torch.tensor([[0.0, 0, 0], [1e3, -2e3, 1e3]], dtype=torch.float64)),
        (-peak, torch.tensor([0.25, 0.0], dtype=torch.float64)),
        (torch.zeros(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)),
    )
    teacher = ReluNetwork(
        (torch.zeros(2, 1, dtype=torch.float64),),
        (torch.tensor([0.25, 0.0], dtype=torch.float64),),
        (torch.zeros(2, dtype=torch.float64),),
    )
    for search in (True, False):
        assert verify.agreement(teacher, student, torch.tensor([[0.5]]), 0.3, search=search).status != ("certified",)
    assert verify.agreement(teacher, student, torch.tensor([[0.5]]), 0.1).status == ("certified",)
