"""Agreement proved with both networks at once holds on a fine grid, and goes further than two proofs of one network each."""

import pytest
import torch

from tests.support import grid, random_network
from verify import Region, ReluNetwork, decisions
from verify.network import read_pair


def near(network: ReluNetwork, amount: float, seed: int) -> ReluNetwork:
    """The network with its weights a little off."""
    generator = torch.Generator().manual_seed(seed)
    weights = tuple(w + amount * torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in network.weights)
    return ReluNetwork(weights, network.biases, network.bias_errors)


def answers(teacher: ReluNetwork, student: ReluNetwork, region: Region, max_nodes: int) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "MAX_NODES", max_nodes)
        return decisions.always_agree(read_pair(teacher, student, region), region)


@pytest.mark.parametrize("max_nodes", [2, 300])
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_proved_holds_on_a_grid(seed: int, classes: int, max_nodes: int) -> None:
    teacher = random_network([2, 8, 7, classes], seed, 1.5)
    student = near(random_network([2, 8, 7, classes], seed, 1.5), 0.08, seed)
    images = torch.rand((24, 2), generator=torch.Generator().manual_seed(seed))
    region = Region.ball(images, 0.06)
    points = grid(region, 81)
    agree = (teacher(points).argmax(-1) == student(points).argmax(-1)).all(dim=1)
    proved = answers(teacher, student, region, max_nodes)
    assert not (proved & ~agree).any()
    if max_nodes == 300:
        assert proved.sum() >= 0.7 * agree.sum()


def test_agreement_across_a_decision_boundary() -> None:
    """Two pairs of logits with one and the same boundary: neither network keeps its class, yet both always agree."""
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-4.0, -4.0]], dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    teacher = ReluNetwork((weight,), (zero,), (zero,))
    shifted = ReluNetwork((3 * weight,), (torch.tensor([0.0, 0.05, 0.0], dtype=torch.float64),), (zero,))
    region = Region.ball(torch.tensor([[0.5, 0.5], [0.9, 0.5], [0.5, 0.47]]), 0.05)
    assert answers(teacher, shifted, region, 100).tolist() == [False, True, False]


@pytest.mark.parametrize("place", [0.31, 0.487, 0.7])
def test_a_planted_disagreement_is_never_certified(place: float) -> None:
    peak = torch.tensor([place - 1e-4, place, place + 1e-4], dtype=torch.float64)
    student = ReluNetwork(
        (torch.ones(3, 1, dtype=torch.float64), torch.tensor([[0.0, 0, 0], [3e4, -6e4, 3e4]], dtype=torch.float64)),
        (-peak, torch.tensor([0.0, -2.0], dtype=torch.float64)),
        (torch.zeros(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)),
    )
    constant = torch.tensor([0.0, -2.0], dtype=torch.float64)
    teacher = ReluNetwork(
        (torch.zeros(2, 1, dtype=torch.float64),), (constant,), (torch.zeros(2, dtype=torch.float64),)
    )
    region = Region.ball(torch.tensor([[0.5], [0.1]]), 0.3)
    assert not answers(teacher, student, region, 300)[0]
