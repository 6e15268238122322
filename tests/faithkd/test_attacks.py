"""Attacks stay in the region, do not depend on the order of the images, and find what there is to find."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from faithkd import UserError, data
from faithkd.attacks import named, pgd
from faithkd.models import named as network
from verify import Region, Unsupported

MODEL = network("mnist-student").requires_grad_(False)
IMAGES, LABELS = data.load("mnist-sample").sample(20, seed=1)


@pytest.mark.parametrize("valid_range", [(0.0, 1.0), None])
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.3])
def test_every_iterate_lies_in_the_exact_region(eps: float, valid_range: tuple[float, float] | None) -> None:
    region = Region.ball(IMAGES, eps, valid_range)
    seen = []
    last = pgd(7)(MODEL, IMAGES, LABELS, eps, valid_range=valid_range, observe=seen.append)
    assert len(seen) == 8
    assert torch.equal(seen[-1], last)
    for x in seen:
        assert x.shape == IMAGES.shape
        assert region.contains(x.flatten(1)).all()


def test_the_result_for_an_image_does_not_depend_on_its_neighbours() -> None:
    whole = pgd(5)(MODEL, IMAGES, LABELS, 0.1, seed=4)
    order = torch.arange(19, -1, -1)
    assert torch.equal(pgd(5)(MODEL, IMAGES[order], LABELS[order], 0.1, seed=4)[order], whole)
    assert not torch.equal(pgd(5)(MODEL, IMAGES, LABELS, 0.1, seed=5), whole)


def test_a_linear_network_is_attacked_at_the_best_corner() -> None:
    """For two classes the cross-entropy grows with a linear function, whose maximum over the box is known."""
    linear = nn.Sequential(nn.Flatten(), nn.Linear(784, 2)).requires_grad_(False)
    labels = LABELS % 2
    last = pgd(20)(linear, IMAGES, labels, 0.1)
    direction = linear[1].weight[1 - labels] - linear[1].weight[labels]
    flat = IMAGES.flatten(1)
    corner = torch.where(direction > 0, flat + 0.1, flat - 0.1).clamp(0, 1)
    torch.testing.assert_close(last.flatten(1), corner, atol=1e-6, rtol=0)


def test_names() -> None:
    attack = named("pgd-50")
    assert (attack.name, attack.steps, attack.step) == ("pgd-50", 50, 0.05)
    for name in ("pgd", "pgd-0", "pgd--3", "apgd-50", "PGD-50", ""):
        with pytest.raises(UserError, match="unknown attack"):
            named(name)


def test_a_negative_radius_is_refused() -> None:
    with pytest.raises(Unsupported, match="radius"):
        pgd(5)(MODEL, IMAGES, LABELS, -0.1)
