"""What splits have gained so far: pseudo-costs of every variable of every query (docs/branching.md, "Which split").

A variable's next gain on a side is estimated by the mean of its gains on that side and, as one more observation, of what the relaxation
says it costs times a factor: the gain per cost that its group of variables (a layer, a network's differences) has shown so far.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.pair import Pair
from verify.rows import Rows

# The factor before anything is known, and the weight of that in units of cost.
FIRST_FACTOR, FIRST_WEIGHT = 2.0, 0.01


class History:
    """Gains `(slots, variables, 2)` and their counts; costs and gains `(slots, groups)`; a slot for each image and query."""

    def __init__(self, pair: Pair, images: int, classes: int, inputs: int, device: torch.device) -> None:
        self._slots = torch.full((images, classes, 2), -1, dtype=torch.int64, device=device)
        self._group = groups(pair, classes, inputs, device)
        count = int(self._group.max()) + 1
        self._gain = torch.zeros((0, len(self._group), 2), device=device)
        self._count = torch.zeros((0, len(self._group), 2), device=device)
        self._group_gain = torch.zeros((0, count), device=device)
        self._group_cost = torch.zeros((0, count), device=device)
        self._free: list[int] = []

    def open(self, rows: Rows) -> None:
        """Give each of these different queries a slot without a past."""
        need = len(rows) - len(self._free)
        if need > 0:
            start = len(self._gain)
            self._gain, self._count, self._group_gain, self._group_cost = (
                torch.cat((t, t.new_zeros((need, *t.shape[1:]))))
                for t in (self._gain, self._count, self._group_gain, self._group_cost)
            )
            self._free.extend(range(start, start + need))
        slots = torch.tensor([self._free.pop() for _ in range(len(rows))], dtype=torch.int64, device=self._slots.device)
        self._slots[rows.image, rows.label, rows.sign] = slots
        self._gain[slots] = 0
        self._count[slots] = 0
        self._group_gain[slots] = FIRST_FACTOR * FIRST_WEIGHT
        self._group_cost[slots] = FIRST_WEIGHT

    def close(self, image: int) -> None:
        """Free the slots of an image."""
        mine = self._slots[image]
        self._free.extend(mine[mine >= 0].tolist())
        self._slots[image] = -1

    def record(self, rows: Rows, variable: Tensor, side: Tensor, gain: Tensor, cost: Tensor) -> None:
        """What children gained, `(n,)`: on the side (0: below) of the split of a variable, where the relaxation said `cost`."""
        slots = self._slots[rows.image, rows.label, rows.sign]
        # An image may have ended while its rows were worked on.
        known = slots >= 0
        slots, variable, side, gain, cost = (t[known] for t in (slots, variable, side, gain, cost))
        width = len(self._group)
        place = (slots * width + variable) * 2 + side
        self._gain.view(-1).index_add_(0, place, gain.to(self._gain.dtype))
        self._count.view(-1).index_add_(0, place, torch.ones_like(self._count.view(-1)[place]))
        place = slots * self._group_gain.shape[1] + self._group[variable]
        self._group_gain.view(-1).index_add_(0, place, gain.to(self._gain.dtype))
        self._group_cost.view(-1).index_add_(0, place, cost.to(self._gain.dtype))

    def expected(self, rows: Rows, variables: Tensor, cost: Tensor) -> Tensor:
        """Gains `(n, k, 2)` to expect from variables `(n, k)`; cost `(n, k, 2)`: what the relaxation says."""
        slots = self._slots[rows.image, rows.label, rows.sign][:, None]
        factor = (self._group_gain / self._group_cost)[slots, self._group[variables]]
        return (self._gain[slots, variables] + cost * factor[..., None]) / (self._count[slots, variables] + 1)


def groups(pair: Pair, classes: int, inputs: int, device: torch.device) -> Tensor:
    """The group `(variables,)` of every variable: its layer, or its network's differences or LSE, or the inputs."""
    own: list[int] = []
    places = [place for network in pair.places for place in network]
    for k, place in enumerate(places):
        own += [k] * (place.stop - place.start)
    first = len(places)
    own += [first] * classes + [first + 1] * classes + [first + 2, first + 3] + [first + 4] * inputs
    return torch.tensor(own, device=device)
