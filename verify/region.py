"""Regions: an l_inf ball around each image, cut with the range of valid inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verify.errors import Unsupported
from verify.rounding import down, part_of_box, toward, up


@dataclass(frozen=True)
class Region:
    """A box for each of `n` images, flattened to `d` inputs, in the units of the image (pixels).

    center, lower, upper: `(n, d)` float64. `lower` and `upper` are rounded outward, so the box contains the exact ball. shape: of
    one image. eps: the radius, a number or `(d,)`. valid_range: the cut, or None.
    """

    center: Tensor
    lower: Tensor
    upper: Tensor
    shape: tuple[int, ...]
    eps: float | Tensor
    valid_range: tuple[float, float] | None

    @classmethod
    def ball(
        cls, images: Tensor | NDArray[Any], eps: float | Tensor, valid_range: tuple[float, float] | None = (0.0, 1.0)
    ) -> Region:
        """The balls of radius `eps` around `images` `(n, *shape)`, cut with `valid_range`; eps is a number or one a channel.

        Raises `Unsupported` for a negative or infinite radius, images that are not finite or lie outside `valid_range`.
        """
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(images)
        if not isinstance(images, Tensor):
            raise Unsupported(f"images must be a tensor of shape (n, ...), but are a {type(images).__name__}")
        if images.ndim < 2 or len(images) == 0:
            raise Unsupported(f"images must have shape (n, ...) with n of at least 1, but have {tuple(images.shape)}")
        shape = tuple(images.shape[1:])
        center = images.detach().flatten(1).to(torch.float64)
        if not torch.isfinite(center).all():
            raise Unsupported("the images hold values that are NaN or infinite")
        radius = _radius(eps, shape, center)
        lower, upper = down(center - radius), up(center + radius)
        if valid_range is not None:
            smallest, largest = float(valid_range[0]), float(valid_range[1])
            if not smallest < largest:
                raise Unsupported(f"valid_range must be (smallest, largest), but is {valid_range}")
            if bool((center < smallest).any() or (center > largest).any()):
                raise Unsupported(
                    f"the images hold values from {center.min():.4g} to {center.max():.4g}, outside the valid range "
                    f"[{smallest:g}, {largest:g}]; give them in the units that the networks read, scaled into that range"
                )
            lower, upper = lower.clamp(min=smallest), upper.clamp(max=largest)
        exact = radius == 0
        lower, upper = torch.where(exact, center, lower), torch.where(exact, center, upper)
        return cls(
            center,
            lower,
            upper,
            shape,
            radius if isinstance(eps, Tensor) and eps.numel() > 1 else float(eps),
            valid_range,
        )

    @classmethod
    def points(cls, points: Tensor) -> Region:
        """The degenerate boxes of single inputs `(n, d)`, for evaluating a network with a proof of its rounding error."""
        points = points.to(torch.float64)
        return cls(points, points, points, tuple(points.shape[1:]), 0.0, None)

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, index: Any) -> Region:
        """The regions of some images: a number, a slice, or a tensor of positions or of truth values."""
        if isinstance(index, int):
            index = slice(index, index + 1)
        return Region(self.center[index], self.lower[index], self.upper[index], self.shape, self.eps, self.valid_range)

    def to(self, device: torch.device | str) -> Region:
        """The same regions on another device."""
        return Region(
            self.center.to(device), self.lower.to(device), self.upper.to(device), self.shape,
            self.eps.to(device) if isinstance(self.eps, Tensor) else self.eps, self.valid_range,
        )  # fmt: skip

    def inner(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Corners `(n, d)` of type `dtype` inside the exact ball and the valid range, for searches; see `project` for witnesses.

        Where the ball holds no number of this type, both are the nearest one.
        """
        exact = self.lower == self.upper
        # lower and upper went outward by at most two units in the last place; three steps back are inside.
        lower, upper = self.lower, self.upper
        for _ in range(3):
            lower, upper = up(lower), down(upper)
        if self.valid_range is not None:
            smallest, largest = (torch.full_like(self.center, edge) for edge in self.valid_range)
            radius = _radius(self.eps, self.shape, self.center)
            lower = torch.where(_reaches(-self.center, radius, -smallest), smallest, lower)
            upper = torch.where(_reaches(self.center, radius, largest), largest, upper)
        lower, upper = torch.minimum(lower, self.center), torch.maximum(upper, self.center)
        lower, upper = torch.where(exact, self.center, lower), torch.where(exact, self.center, upper)
        low, high = toward(lower, dtype, upper=True), toward(upper, dtype, upper=False)
        nearest = self.center.to(dtype)
        return torch.where(low > high, nearest, low), torch.where(low > high, nearest, high)

    def project(self, points: Tensor) -> Tensor:
        """Inputs `(n, d)` float64 of the exact ball and the valid range, as near as can be to `points`; float32 ones of `inner` stay."""
        return torch.clamp(points.double(), *self._corners)

    @cached_property
    def _corners(self) -> tuple[Tensor, Tensor]:
        return self.inner(torch.float64)

    def sample(self, count: int) -> Tensor:
        """`count` inputs `(count, d)` float32, of one region after the other: uniform ones and corners in turn."""
        generator = torch.Generator().manual_seed(0)
        lower, upper = (side[torch.arange(count) % len(self)].cpu() for side in self.inner(torch.float32))
        draws = torch.rand(lower.shape, generator=generator, dtype=torch.float32, device="cpu")
        draws[1::2] = draws[1::2].round()
        return torch.clamp(lower + (upper - lower) * draws, lower, upper)

    @cached_property
    def middle(self) -> Tensor:
        """The midpoints `(n, d)` of the boxes."""
        return (self.lower + self.upper) / 2

    @cached_property
    def half(self) -> Tensor:
        """Their half widths `(n, d)`."""
        return (self.upper - self.lower) / 2

    def support(self, coefficients: Tensor) -> Tensor:
        """The largest `coefficients . x`, `(n, r)`, over each region; coefficients `(n, r, d)`."""
        return dot(coefficients, self.middle[:, None]) + reach(coefficients, self.half[:, None])

    def split(self, index: Tensor, low: Tensor, high: Tensor) -> Region:
        """Boxes `(m, d)` within the regions `index` `(m,)`, from shares of their half widths from -1 to 1, rounded outward."""
        lower, upper = self.lower[index], self.upper[index]
        ends = part_of_box(lower, upper, low, up=False), part_of_box(lower, upper, high, up=True)
        return Region(self.center[index], *ends, self.shape, self.eps, self.valid_range)

    def contains(self, points: Tensor) -> Tensor:
        """`(n,)` truth values: does each of `points` `(n, d)` lie inside its box."""
        points = points.to(torch.float64)
        return ((points >= self.lower) & (points <= self.upper)).all(dim=1)


def reach(coefficients: Tensor, half: Tensor) -> Tensor:
    """The largest `coefficients . (x - middle)` over boxes, `(...)`, of half widths `(..., d)`."""
    return dot(coefficients.abs(), half)


def corner(coefficients: Tensor, half: Tensor) -> Tensor:
    """The corners `(n, d)`, less the middle, where `coefficients . x` is largest."""
    return torch.copysign(half, coefficients)


def dot(one: Tensor, other: Tensor) -> Tensor:
    """The products of the last axes, `(n, ...)`."""
    products: Tensor = torch.linalg.vecdot(one, other)
    return products


def shortest(points: Tensor) -> Tensor:
    """The same numbers in float32 where that holds all of them."""
    return points.float() if torch.equal(points.float().to(points.dtype), points) else points


def _reaches(center: Tensor, radius: Tensor, edge: Tensor) -> Tensor:
    """Truth values: is `center + radius` exactly at least `edge`; the rounding error of a sum is a floating-point number (Knuth)."""
    total = center + radius
    part = total - center
    error = (center - (total - part)) + (radius - part)
    return (total > edge) | ((total == edge) & (error >= 0))


def _radius(eps: float | Tensor, shape: tuple[int, ...], center: Tensor) -> Tensor:
    try:
        values = torch.as_tensor(eps, dtype=torch.float64, device=center.device).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Unsupported(f"the radius eps must be a number or a tensor of numbers, but is {eps!r}") from error
    if not bool(torch.isfinite(values).all() and (values >= 0).all()):
        raise Unsupported(f"the radius eps must be a finite number of at least 0, but is {eps}")
    inputs = center.shape[1]
    if values.numel() == 1 or values.numel() == inputs:
        return values.expand(inputs)
    if values.numel() == shape[0]:
        return values.repeat_interleave(inputs // shape[0])
    raise Unsupported(
        f"the radius eps must be one number or one a channel ({shape[0]}), but has {values.numel()} values"
    )
