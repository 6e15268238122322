"""The template of a gradient attack: an objective of the logits, steps, and a start; `verify.attained.ascent.ascend` does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from verify import Region
from verify.attained.ascent import BestIterate, ascend, image_points, step_unit, uniform_starts

Observer = Callable[[Tensor], None]


class AnyAttack(ABC):
    """What every attack is: it looks for an input in the exact ball around each image. A new kind says how it searches a region."""

    name: str
    """The name that `faithkd.attacks.named` knows it by."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        eps: float,
        *,
        valid_range: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
        observe: Observer | None = None,
    ) -> Tensor:
        """An input for each image, float32 of the shape of `images` `(n, *shape)`.

        model: in evaluation mode, images in pixels to logits. eps: the radius in pixel units. valid_range: what the ball is cut with,
        None for no cut. seed: of all random numbers. observe: told of every input whose decision counts. Raises
        `verify.Unsupported` for a negative radius and for images outside `valid_range`.
        """
        return self.search(model, labels, Region.ball(images, eps, valid_range), seed, observe)

    @abstractmethod
    def search(
        self, model: nn.Module, labels: Tensor, region: Region, seed: int, observe: Observer | None = None
    ) -> Tensor:
        """An input `(n, *shape)` of each region."""


@dataclass(frozen=True)
class Attack(AnyAttack):
    """Sign-gradient ascent of an objective over the ball around each image; a call gives the last iterate, and observes every one.

    objective: of logits `(n, classes)` and labels `(n,)`, gives `(n,)` values to maximise. step: relative to the radius.
    start: "uniform" in the region, or the "image" itself. A start depends on the seed and on the image's own bytes only, so results
    do not depend on the order of the images.
    """

    name: str
    objective: Callable[[Tensor, Tensor], Tensor]
    steps: int
    step: float
    start: Literal["uniform", "image"] = "uniform"

    def search(
        self, model: nn.Module, labels: Tensor, region: Region, seed: int, observe: Observer | None = None
    ) -> Tensor:
        """The last iterate; `observe` is told of every one, the start included."""
        return self._ascend(model, labels, region, seed, None if observe is None else lambda x, _: observe(x))

    def best(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        eps: float,
        *,
        valid_range: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
    ) -> Tensor:
        """The iterate of the largest objective, the start among them; otherwise as a call."""
        region = Region.ball(images, eps, valid_range)
        best = BestIterate(image_points(region).view(-1, *region.shape))
        self._ascend(model, labels, region, seed, best.observe)
        return best.points

    def _ascend(
        self,
        model: nn.Module,
        labels: Tensor,
        region: Region,
        seed: int,
        observe: Callable[[Tensor, Tensor], None] | None,
    ) -> Tensor:
        start = image_points(region) if self.start == "image" else uniform_starts(region, 1, seed)[:, 0]
        last = ascend(
            lambda x: self.objective(model(x.view(-1, *region.shape)), labels),
            start,
            region.inner(),
            steps=self.steps,
            step_size=self.step * step_unit(region),
            observe=None if observe is None else lambda x, values: observe(x.view(-1, *region.shape), values),
        )
        return last.view(-1, *region.shape)
