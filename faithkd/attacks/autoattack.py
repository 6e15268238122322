"""AutoAttack (Croce and Hein 2020) by the package `pyautoattack`, made to fit any images and any cut."""

from __future__ import annotations

import importlib.util
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from faithkd.attacks.template import AnyAttack, Observer
from faithkd.errors import UserError
from verify import Region
from verify.attained.ascent import image_points

TARGETS = 9
FEWEST_CLASSES = 5
BATCH = 500


@dataclass(frozen=True)
class AutoAttack(AnyAttack):
    """The standard ensemble: APGD on the cross-entropy, targeted APGD and FAB (9 targets each), Square (5,000 queries).

    Raises `UserError` when the package is not there. Its random numbers follow from the seed and from all images of a call together:
    their order does not matter, but an image's result can change with its neighbours. It counts the decision it ends with.
    """

    name: str = field(default="autoattack", init=False)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pyautoattack") is None:
            raise UserError(
                "autoattack needs the package pyautoattack; install it with pip install 'faithkd[autoattack]'"
            )

    def search(
        self, model: nn.Module, labels: Tensor, region: Region, seed: int, observe: Observer | None = None
    ) -> Tensor:
        """An input that is decided wrongly, or the image where none was found.

        Raises `UserError` for a model of fewer than five classes, which its losses need.
        """
        images = image_points(region).view(-1, *region.shape)
        classes = _classes(model, images)
        if classes < FEWEST_CLASSES:
            raise UserError(
                f"autoattack needs at least {FEWEST_CLASSES} classes, but the model has {classes}; use pgd-K and cw-linf"
            )
        # Whatever the order of the images, the package sees them in one order.
        order = sorted(range(len(images)), key=lambda k: images[k].cpu().numpy().tobytes())
        found = images
        if float(region.eps) > 0:
            found = torch.empty_like(images)
            found[order] = _Rescaled.of(region).attack(
                model, images[order], labels[order], seed, min(TARGETS, classes - 1)
            )
        lower, upper = region.inner()
        found = torch.clamp(found.flatten(1), lower, upper).view(images.shape)
        if observe is not None:
            observe(found)
        return found


@dataclass(frozen=True)
class _Rescaled:
    """The package's own range is [0, 1], which a cut is mapped to; without a cut, a range that no ball reaches the ends of."""

    low: float
    span: float
    eps: float

    @classmethod
    def of(cls, region: Region) -> _Rescaled:
        if region.valid_range is not None:
            low, high = region.valid_range
        else:
            low, high = float(region.lower.min()), float(region.upper.max())
        return cls(low, high - low, float(region.eps))

    def attack(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int, targets: int) -> Tensor:
        """What the package finds for images in pixels, in pixels."""
        from pyautoattack import AutoAttack as Package

        shape = images.shape[1:]
        identity = (self.low, self.span) == (0.0, 1.0)
        scaled = images.float() if identity else ((images - self.low) / self.span).float().clamp(0, 1)
        in_pixels: Callable[[Tensor], Tensor] = (lambda x: x) if identity else (lambda x: x * self.span + self.low)
        with _as_before(images.device):
            ensemble = Package(
                lambda x: model(in_pixels(x).view(-1, *shape)),
                norm="Linf",
                eps=self.eps / self.span,
                seed=seed,
                device=images.device,
            )
            ensemble.apgd_targeted.n_target_classes = ensemble.fab.n_target_classes = targets
            found, _ = ensemble.run_standard_evaluation(_four_dimensional(scaled), labels, batch_size=BATCH)
        return in_pixels(found).view(-1, *shape)


@contextmanager
def _as_before(device: torch.device) -> Iterator[None]:
    """The package seeds the global generators, switches tracing off and logs warnings; afterwards all is as it was, and silent."""
    log, trace = logging.getLogger("auto-attack"), sys.gettrace()
    silent, log.disabled = log.disabled, True
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        log.disabled = silent
        sys.settrace(trace)


@torch.no_grad()
def _classes(model: nn.Module, images: Tensor) -> int:
    return int(model(images[:1]).shape[1])


def _four_dimensional(images: Tensor) -> Tensor:
    """Channels, height and width; inputs without them become the rectangle nearest to a square."""
    if images.ndim == 4:
        return images
    if images.ndim == 3:
        return images[:, None]
    size = images[0].numel()
    height = next(k for k in range(math.isqrt(size), 0, -1) if size % k == 0)
    return images.reshape(-1, 1, height, size // height)
