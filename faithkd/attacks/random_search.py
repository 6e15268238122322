"""A black-box attack: random search over corners of the ball, after Square Attack (Andriushchenko et al. 2020)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from faithkd.attacks.cw_linf import margin
from faithkd.attacks.template import AnyAttack, Observer
from verify import Region

FIRST_SHARE, HALVINGS = 0.8, 6


@dataclass(frozen=True)
class RandomSearch(AnyAttack):
    """Windows of the image are moved to an end of their range, and stay there where that lowers the margin; no gradient is used.

    queries: forward passes after the start, which has a random sign in every column. The windows' share of the image falls from 0.8
    to 0.8 / 64. A search's random numbers follow from the seed and the image's own bytes.
    """

    queries: int = 300
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"random-search-{self.queries}")

    @torch.no_grad()
    def search(
        self, model: nn.Module, labels: Tensor, region: Region, seed: int, observe: Observer | None = None
    ) -> Tensor:
        """The input of the smallest margin met: an error met on the way is an error at the end."""
        shape = (len(region), *region.shape)
        height, width = shape[-2:] if len(shape) > 2 else (1, shape[1])
        grid = (len(region), -1, height, width)
        lower, upper = (corner.view(grid) for corner in region.inner())
        columns, draws = _draws(region, width, self.queries, seed)
        best = torch.where(columns.view(-1, 1, 1, width) < 0.5, lower, upper)
        smallest = margin(model(best.view(shape)), labels)
        for k in range(self.queries):
            share = FIRST_SHARE * 2.0 ** (-HALVINGS * k / self.queries)
            row, column, sign = draws[:, k].unbind(1)
            window = _span(row, height, share)[:, None, :, None] & _span(column, width, share)[:, None, None, :]
            end = torch.where(sign.view(-1, 1, 1, 1) < 0.5, lower, upper)
            candidate = torch.where(window, end, best)
            value = margin(model(candidate.view(shape)), labels)
            best = torch.where((value < smallest).view(-1, 1, 1, 1), candidate, best)
            smallest = torch.minimum(value, smallest)
        found = best.view(shape)
        if observe is not None:
            observe(found)
        return found


def _draws(region: Region, width: int, queries: int, seed: int) -> tuple[Tensor, Tensor]:
    """Uniform numbers in [0, 1) of each image: `(n, width)` and `(n, queries, 3)`."""
    numbers = torch.empty(len(region), width + 3 * queries)
    for row, image in zip(numbers, region.center.cpu().float().numpy(), strict=True):
        key = zlib.crc32(image.tobytes(), seed & 0xFFFFFFFF)
        row.copy_(torch.rand(row.shape, generator=torch.Generator().manual_seed(key)))
    numbers = numbers.to(region.center.device)
    return numbers[:, :width], numbers[:, width:].view(-1, queries, 3)


def _span(draw: Tensor, size: int, share: float) -> Tensor:
    """Truth values `(n, size)`: a stretch of the root of the share, at a random place."""
    length = max(1, round(size * share**0.5))
    first = (draw * (size - length + 1)).floor()[:, None]
    places = torch.arange(size, device=draw.device)
    inside: Tensor = (places >= first) & (places < first + length)
    return inside
