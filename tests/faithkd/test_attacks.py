"""Attacks stay in the region, do not depend on the order of the images, and find what there is to find."""

from __future__ import annotations

import logging
import sys

import pytest
import torch
from torch import nn

from faithkd import UserError, data
from faithkd.attacks import NAMED, Attack, fgsm, named, pgd
from faithkd.attacks.cw_linf import margin, margin_objective
from faithkd.metrics import correct, robust_accuracy
from faithkd.models import named as network
from verify import Region, Unsupported

MODEL = network("mnist-student").eval().requires_grad_(False)
IMAGES, LABELS = data.load("mnist-sample").sample(20, seed=1)
ATTACKS = [*NAMED, "pgd-7", "random-search-50"]
GRADIENT_ATTACKS = [name for name in ATTACKS if isinstance(named(name), Attack)]


def linear(classes: int, inputs: int = 784) -> nn.Module:
    """A network whose best attack for two classes is a corner."""
    with torch.random.fork_rng():
        torch.manual_seed(classes)
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes)).requires_grad_(False)


def own(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Labels that the model gives itself, so that there is something to attack."""
    return model(images).argmax(dim=1)


# Every attack


@pytest.mark.parametrize("valid_range", [(0.0, 1.0), (-0.5, 2.0), None])
@pytest.mark.parametrize("name", ATTACKS)
def test_every_input_lies_in_the_exact_region(name: str, valid_range: tuple[float, float] | None) -> None:
    # Radii at which the package is done after its first attack, or has nothing to do.
    for eps in (0.0, 0.5) if name == "autoattack" else (0.0, 0.01, 0.3):
        region = Region.ball(IMAGES, eps, valid_range)
        seen: list[torch.Tensor] = []
        found = named(name)(MODEL, IMAGES, LABELS, eps, valid_range=valid_range, observe=seen.append)
        assert torch.equal(seen[-1], found)
        for x in seen:
            assert x.shape == IMAGES.shape and x.dtype == torch.float32
            assert region.contains(x.flatten(1)).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_again_and_whatever_the_order_of_the_images(name: str) -> None:
    labels, order, eps = own(MODEL, IMAGES), torch.arange(19, -1, -1), 0.5 if name == "autoattack" else 0.1
    before, log = torch.random.get_rng_state(), logging.getLogger("auto-attack").disabled
    whole = named(name)(MODEL, IMAGES, labels, eps, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert logging.getLogger("auto-attack").disabled == log
    assert torch.equal(named(name)(MODEL, IMAGES, labels, eps, seed=4), whole)
    assert torch.equal(named(name)(MODEL, IMAGES[order], labels[order], eps, seed=4)[order], whole)
    if name != "fgsm":
        assert not torch.equal(named(name)(MODEL, IMAGES, labels, eps, seed=5), whole)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "autoattack"])
def test_the_result_for_an_image_does_not_depend_on_its_neighbours(name: str) -> None:
    whole = named(name)(MODEL, IMAGES, LABELS, 0.1)
    torch.testing.assert_close(named(name)(MODEL, IMAGES[7:9], LABELS[7:9], 0.1), whole[7:9], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", GRADIENT_ATTACKS)
def test_the_best_iterate_is_the_best_of_all_that_are_met(name: str) -> None:
    attack = named(name)
    values: list[torch.Tensor] = []
    attack(MODEL, IMAGES, LABELS, 0.2, observe=lambda x: values.append(attack.objective(MODEL(x), LABELS)))
    assert len(values) == attack.steps + 1
    best = attack.objective(MODEL(attack.best(MODEL, IMAGES, LABELS, 0.2)), LABELS)
    torch.testing.assert_close(best, torch.stack(values).amax(dim=0), rtol=0, atol=1e-5)
    assert (best >= values[0] - 1e-5).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_a_linear_network_of_five_classes_yields_where_its_best_corner_does(name: str) -> None:
    """At a corner for each other class the truth is known; every attack of several steps finds it on nearly all images."""
    model, eps = linear(5), 0.02
    labels = own(model, IMAGES)
    flat, weight = IMAGES.flatten(1), model[1].weight
    holds = torch.ones(20, dtype=torch.bool)
    for target in range(5):
        direction = weight[target] - weight[labels]
        corner = torch.where(direction > 0, flat + eps, flat - eps).clamp(0, 1)
        logits = model(corner.view_as(IMAGES))
        holds &= (logits[:, target] <= logits.gather(1, labels[:, None])[:, 0]) | (labels == target)
    found = robust_accuracy(model, IMAGES, labels, eps, attack=named(name)).every
    assert 0 < holds.sum() < 20
    assert not (holds & ~found).any()
    if name.startswith(("pgd", "cw", "auto")):
        assert (found & ~holds).sum() <= 1


def test_a_linear_network_is_attacked_at_the_best_corner() -> None:
    """For two classes the cross-entropy grows with a linear function, whose maximum over the box is known."""
    model, labels = linear(2), LABELS % 2
    direction = model[1].weight[1 - labels] - model[1].weight[labels]
    flat = IMAGES.flatten(1)
    corner = torch.where(direction > 0, flat + 0.1, flat - 0.1).clamp(0, 1)
    for attack in (pgd(20), named("pgd-sat"), named("cw-linf"), fgsm()):
        last = attack(model, IMAGES, labels, 0.1)
        torch.testing.assert_close(last.flatten(1), corner, atol=1e-6, rtol=0)


# What each of them is


def test_fgsm_is_one_step_of_the_radius_along_the_sign() -> None:
    x = IMAGES.clone().requires_grad_(True)
    nn.functional.nll_loss(torch.log_softmax(MODEL(x), 1), LABELS).backward()
    expected = (IMAGES + 0.1 * x.grad.sign()).clamp(0, 1)
    torch.testing.assert_close(fgsm()(MODEL, IMAGES, LABELS, 0.1), expected, atol=1e-6, rtol=0)


def test_the_margin_objective_against_numbers_worked_out_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [0.0, 70.0, 5.0]])
    labels = torch.tensor([0, 1, 2])
    assert margin(logits, labels).tolist() == [0.5, -2.0, -65.0]
    assert margin_objective(logits, labels).tolist() == [-50.5, -48.0, 0.0]


def test_published_steps_are_those_of_the_radius_8_255() -> None:
    steps = {name: named(name) for name in ("pgd-sat", "pgd-trades", "cw-linf")}
    assert {name: attack.steps for name, attack in steps.items()} == {"pgd-sat": 20, "pgd-trades": 20, "cw-linf": 30}
    for name, step in (("pgd-sat", 2 / 255), ("pgd-trades", 0.003), ("cw-linf", 2 / 255)):
        assert steps[name].step * 8 / 255 == pytest.approx(step)


@pytest.mark.slow
def test_autoattack_is_the_strongest() -> None:
    """On a few images that are broken, are not, or are wrong from the start; all four of its attacks run."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 6)).requires_grad_(False)
    images = IMAGES[:6]
    labels = own(model, images)
    labels[0] = (labels[0] + 1) % 6
    others = [robust_accuracy(model, images, labels, 0.015, attack=named(name)) for name in ("pgd-50", "cw-linf")]
    found = robust_accuracy(model, images, labels, 0.015, attack=named("autoattack")).every
    assert not found[0] and 0 < found.sum() < 5
    for other in others:
        assert not (found & ~other.every).any()


@pytest.mark.parametrize("shape", [(784,), (28, 28), (3, 4, 5)])
def test_autoattack_takes_images_of_any_shape(shape: tuple[int, ...]) -> None:
    size = int(torch.tensor(shape).prod())
    images = torch.rand(8, *shape, generator=torch.Generator().manual_seed(0))
    model = linear(6, size)
    found = named("autoattack")(model, images, own(model, images), 0.9)
    assert found.shape == images.shape and not correct(model, found, own(model, images)).any()


def test_autoattack_says_when_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="at least 5 classes, but the model has 4"):
        named("autoattack")(linear(4), IMAGES, LABELS % 4, 0.1)
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(UserError, match=r"pip install 'faithkd\[autoattack\]'"):
        named("autoattack")


# Names and bad radii


def test_names() -> None:
    attack = named("pgd-50")
    assert (attack.name, attack.steps, attack.step) == ("pgd-50", 50, 0.05)
    assert all(named(name).name == name for name in ATTACKS)
    for name in ("pgd", "pgd-0", "pgd--3", "apgd-50", "PGD-50", "random-search", "cw-linf-3", ""):
        with pytest.raises(UserError, match="unknown attack"):
            named(name)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_negative_radius_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match="radius"):
        named(name)(MODEL, IMAGES, LABELS, -0.1)
