"""Metrics against a second implementation that goes image by image, and their order relations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from faithkd import data
from faithkd.attacks import pgd
from faithkd.metrics import accuracy, correct, decisions, empirical_agreement, robust_accuracy
from verify import Region
from verify.attained.ascent import uniform_starts

IMAGES, LABELS = data.load("mnist-sample").sample(60, seed=2)


def fitted(seed: int, steps: int) -> nn.Module:
    """A small network that has learnt something: right on most of the images, and not robust."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(model(IMAGES), LABELS).backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


TEACHER, STUDENT = fitted(0, 12), fitted(1, 8)


def path_of(model: nn.Module, index: int, target: int, eps: float, steps: int) -> list[torch.Tensor]:
    """Every point of one image's attack, written out again without the template."""
    image = IMAGES[index : index + 1]
    region = Region.ball(image, eps)
    lower, upper = region.inner()
    x = uniform_starts(region, 1, 0)[:, 0]
    points = [x]
    for _ in range(steps):
        x = x.clone().requires_grad_(True)
        loss = -torch.log_softmax(model(x.view_as(image)), dim=1)[0, target]
        loss.backward()
        assert x.grad is not None
        x = torch.minimum(torch.maximum(x.detach() + 2.5 * eps / steps * torch.sign(x.grad), lower), upper)
        points.append(x)
    return [point.view_as(image) for point in points]


def test_robust_accuracy_counts_every_iterate() -> None:
    held = robust_accuracy(STUDENT, IMAGES, LABELS, 0.1, attack=pgd(10))
    for index, label in enumerate(LABELS.tolist()):
        right = [int(STUDENT(x).argmax()) == label for x in path_of(STUDENT, index, label, 0.1, 10)]
        clean = int(STUDENT(IMAGES[index : index + 1]).argmax()) == label
        assert bool(held.every[index]) == (clean and all(right))
        assert bool(held.last[index]) == (clean and right[-1])
    assert 0 < held.every.sum() < 60


def test_empirical_agreement_counts_every_iterate() -> None:
    held = empirical_agreement(TEACHER, STUDENT, IMAGES, 0.1, attack=pgd(10))
    for index in range(len(IMAGES)):
        image = IMAGES[index : index + 1]
        target = int(TEACHER(image).argmax())
        agree = [
            int(TEACHER(x).argmax()) == int(STUDENT(x).argmax())
            for x in [image, *path_of(STUDENT, index, target, 0.1, 10)]
        ]
        assert bool(held.every[index]) == all(agree)
        assert bool(held.last[index]) == (agree[0] and agree[-1])
    assert 0 < held.every.sum() < 60


@pytest.mark.parametrize("valid_range", [(0.0, 1.0), None])
def test_radius_zero_is_the_clean_number(valid_range: tuple[float, float] | None) -> None:
    held = robust_accuracy(STUDENT, IMAGES, LABELS, 0.0, valid_range=valid_range)
    assert held.shares() == {"every": accuracy(STUDENT, IMAGES, LABELS), "last": accuracy(STUDENT, IMAGES, LABELS)}
    agreed = empirical_agreement(TEACHER, STUDENT, IMAGES, 0.0, valid_range=valid_range)
    assert torch.equal(agreed.every, decisions(TEACHER, IMAGES) == decisions(STUDENT, IMAGES))


def test_every_iterate_is_never_above_the_last_nor_the_last_above_clean() -> None:
    for eps in (0.01, 0.1):
        held = robust_accuracy(STUDENT, IMAGES, LABELS, eps)
        assert not (held.every & ~held.last).any()
        assert not (held.last & ~correct(STUDENT, IMAGES, LABELS)).any()


def test_a_network_agrees_with_itself_everywhere() -> None:
    assert empirical_agreement(TEACHER, TEACHER, IMAGES, 0.3).every.all()
