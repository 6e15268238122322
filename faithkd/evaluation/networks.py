"""The evaluation of one network: its accuracy, what attacks leave of it, its calibration, and what looks wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faithkd.attacks import AnyAttack, named
from faithkd.data import Dataset
from faithkd.errors import UserError
from faithkd.evaluation.doubts import black_box_doubt, doubts
from faithkd.evaluation.setting import Setting
from faithkd.metrics import Calibration, Held, calibration, entropy, robust_accuracy
from faithkd.runs.request import radius_label
from faithkd.text import percent

Told = Callable[[str], None]


@dataclass(frozen=True)
class Robustness:
    """What one attack left at one radius. held: None where it could not run, and then `note` says why. eps: in the setting's unit."""

    attack: str
    eps: float
    eps_pixel: float
    held: Held | None
    seconds: float
    note: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """The numbers of one network. clean: its accuracy in [0, 1]. entropy: the mean, in nats. warnings: a sentence each."""

    clean: float
    calibration: Calibration
    entropy: float
    robustness: tuple[Robustness, ...]
    warnings: tuple[str, ...]


def evaluate(
    model: nn.Module, dataset: Dataset, setting: Setting, std: float | Sequence[float] = 1.0, told: Told | None = None
) -> Evaluation:
    """Evaluate a network that maps pixels to logits, on the device where it is.

    std: of its normalisation, for radii in normalised units. told: is given a line for each number. With several attacks that could
    run, an entry "all" counts the images that hold under every one of them. Raises `UserError` for an unknown attack.
    """
    attacks = [named(name) for name in setting.attacks]
    place = next(model.parameters()).device
    images, labels = dataset.images.to(place), dataset.labels.to(place)
    with torch.no_grad():
        logits = torch.cat([model(part) for part in torch.split(images, setting.batch)])
    right = logits.argmax(dim=1) == labels
    warnings = doubts(model, images, labels) if setting.eps else []
    robustness: list[Robustness] = []
    for eps in setting.eps:
        radius, cut = setting.in_pixels(eps, std), setting.valid_range(dataset.valid_range)
        found = []
        for attack in attacks:
            result = _under(attack, model, (images, labels), setting, (eps, radius, cut))
            found.append(result)
            if told is not None:
                told(_line(result, setting.unit))
        ran = [result.held for result in found if result.held is not None]
        warnings += [result.note for result in found if result.note is not None and result.note not in warnings]
        if len(ran) > 1:
            found.append(_all(ran, found[0], sum(result.seconds for result in found)))
        robustness += found
        if ran and radius > 0:
            doubt = black_box_doubt(model, images, labels, radius, _every(ran).every, cut)
            warnings += [] if doubt is None else [f"at radius {radius_label(eps, setting.unit)}, {doubt}"]
    return Evaluation(
        clean=right.double().mean().item(),
        calibration=calibration(logits, labels),
        entropy=entropy(logits).mean().item(),
        robustness=tuple(robustness),
        warnings=tuple(warnings),
    )


def _under(
    attack: AnyAttack,
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    setting: Setting,
    radius: tuple[float, float, tuple[float, float] | None],
) -> Robustness:
    eps, in_pixels, cut = radius
    began = time.perf_counter()
    try:
        parts = [
            robust_accuracy(model, images, labels, in_pixels, valid_range=cut, attack=attack, seed=setting.seed)
            for images, labels in zip(*(torch.split(tensor, setting.batch) for tensor in data), strict=True)
        ]
    except UserError as error:
        return Robustness(attack.name, eps, in_pixels, None, 0.0, str(error))
    held = Held(torch.cat([part.every for part in parts]), torch.cat([part.last for part in parts]))
    return Robustness(attack.name, eps, in_pixels, held, time.perf_counter() - began)


def _every(held: Sequence[Held]) -> Held:
    """The images that withstood all of several attacks."""
    return Held(torch.stack([one.every for one in held]).all(dim=0), torch.stack([one.last for one in held]).all(dim=0))


def _all(held: Sequence[Held], like: Robustness, seconds: float) -> Robustness:
    return Robustness("all", like.eps, like.eps_pixel, _every(held), seconds)


def _line(result: Robustness, unit: str) -> str:
    radius = radius_label(result.eps, unit)
    if result.held is None:
        return f"{result.attack} at {radius}: {result.note}"
    return f"{result.attack} at {radius}: {percent(result.held.shares()['every'], 2)} % in {result.seconds:.1f} s"
