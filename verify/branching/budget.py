"""Who may still work: a batch's time, shared so that what easy images leave goes to hard ones, and each image's nodes and end."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from verify.joint.problem import Options


class Budget:
    """nodes `(n,)`: of each image. status: `open` until an image ends; ended `(n,)`: whether it has."""

    def __init__(self, count: int, options: Options, device: torch.device) -> None:
        self._options = options
        self.nodes = torch.zeros(count, dtype=torch.int64, device=device)
        self.status = ["open"] * count
        self.ended = torch.zeros(count, dtype=torch.bool, device=device)
        self._spent = torch.zeros(count, dtype=torch.float64, device=device)
        self._deadline = time.perf_counter() + count * options.timeout

    @property
    def late(self) -> bool:
        """Whether the batch's time is over."""
        return time.perf_counter() >= self._deadline

    def end(self, image: int, status: str) -> None:
        """An image ends."""
        self.status[image], self.ended[image] = status, True

    def count(self, image: Tensor) -> None:
        """A node for each entry of `image`."""
        self.nodes.index_add_(0, image, torch.ones_like(image))

    def account(self, seconds: float, share: Tensor) -> None:
        """Seconds go to the images by their share `(n,)` of the nodes."""
        self._spent += seconds * share / max(int(share.sum()), 1)

    def left(self) -> Tensor | None:
        """How many more splits `(n,)` the images' nodes allow, two nodes each; None for any number."""
        most = self._options.max_nodes
        return None if most is None else ((most - self.nodes + 1) // 2).clamp(min=0)

    def limit(self, image: int, active: list[int], waiting: int) -> str | None:
        """The limit that an image has reached, if any: its nodes, the batch's time, its fair share of it while others wait."""
        if self._options.max_nodes is not None and int(self.nodes[image]) >= self._options.max_nodes:
            return "node-limit"
        now = time.perf_counter()
        fair = (self._deadline - now + sum(float(self._spent[k]) for k in active)) / max(len(active) + waiting, 1)
        late = now >= self._deadline or (waiting > 0 and float(self._spent[image]) > fair)
        return "timeout" if late else None
