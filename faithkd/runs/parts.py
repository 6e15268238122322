"""How the images of a request are cut into parts: the unit in which work is done, saved and resumed."""

from __future__ import annotations

from dataclasses import dataclass

from faithkd.errors import UserError
from faithkd.runs.request import Request

SLOW_PART, LEAST_PART, MOST_PART, PARTS = 5, 25, 64, 16
"""Images of a part: few where one takes long; else as many as leave PARTS parts a radius, for a larger batch costs less an image."""


@dataclass(frozen=True)
class Part:
    """Some images (rows of the images in the order of their positions) at one radius."""

    name: str
    eps: float
    rows: range


def cut(request: Request) -> list[Part]:
    """The parts of a request's shard. The cut depends on the request alone, never on shards or workers.

    Raises `UserError` when there are more shards than parts.
    """
    images, size = request.asked(), _size(request)
    numbers = _numbers(request)
    return [
        Part(f"radius{k}-images{number:05d}", eps, range(number * size, min((number + 1) * size, images)))
        for k, eps in enumerate(request.eps or ())
        for number in numbers
    ]


def images_of_shard(request: Request) -> int:
    """How many images the request's shard has; each has one certificate a radius."""
    images = request.asked()
    if request.shard_of() == (1, 1):
        return images
    size, numbers = _size(request), _numbers(request)
    short = size * -(-images // size) - images if numbers[-1] == -(-images // size) - 1 else 0
    return size * len(numbers) - short


def _numbers(request: Request) -> range:
    """The numbers of the shard's parts."""
    place, shards = request.shard_of()
    images = request.asked()
    chunks = -(-images // _size(request))
    if shards > chunks:
        raise UserError(
            f"--shard {request.shard} is too fine: these {images} images make {chunks} parts, so use at most {chunks} shards"
        )
    return range(place - 1, chunks, shards)


def _size(request: Request) -> int:
    # A report that does not need to know does not wait for torch.
    from verify.methods import METHODS

    if request.method in METHODS and METHODS[request.method].slow:
        return SLOW_PART
    return max(LEAST_PART, min(MOST_PART, request.asked() // PARTS))
