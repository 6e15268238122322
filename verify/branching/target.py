"""What leaves are to be proved not to exceed, and what is met on the way."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.attained.replay import attained
from verify.joint.bound import JointBound
from verify.measures.subproblem import Subproblems

# Proofs of level + gap must not be undone by the rounding of the comparison.
GAP_SHARE = 1 - 1e-6
# What is so close to a level, relative to the outputs, is never proved to be below it.
NEAR = 1e-13


class Target(Protocol):
    """The level of each image's queries. attained `(n,)`: what they are known to attain, for those who watch."""

    attained: Tensor

    def level(self, image: Tensor) -> Tensor:
        """Levels `(m,)` float64 of images `(m,)`."""
        ...

    def meet(self, joint: JointBound, subproblems: Subproblems, corner: Tensor) -> None:
        """Look at the corners `(m, d)`, offsets from the middles of the subproblems' boxes of inputs, that the relaxations point to."""
        ...

    def stuck(self, image: Tensor) -> None:
        """Images `(m,)` have nodes above their level that no split lowers."""
        ...

    def refuted(self, image: int) -> bool:
        """Whether an image's question is decided, so that its leaves no longer matter."""
        ...


class Fixed:
    """One level for all. An image with a point above it cannot be proved, and is given up."""

    def __init__(self, level: Tensor) -> None:
        self.attained = level
        self._given_up = torch.zeros_like(level, dtype=torch.bool)

    def level(self, image: Tensor) -> Tensor:
        """See `Target`."""
        return self.attained[image]

    def meet(self, joint: JointBound, subproblems: Subproblems, corner: Tensor) -> None:
        """See `Target`; what is met proves nothing, so its value need not be proved either."""
        ground, image = joint.ground(subproblems), subproblems.image
        points = ground.region.middle[ground.index] + corner
        outputs = [network(points) for network in joint.problem.networks]
        reach = torch.cat(outputs, dim=1).abs().amax(dim=1)
        above = joint.measure.value(*outputs) > self.attained[image] - NEAR * reach
        self._given_up[image[above]] = True

    def stuck(self, image: Tensor) -> None:
        """See `Target`."""
        self._given_up[image] = True

    def refuted(self, image: int) -> bool:
        """See `Target`."""
        return bool(self._given_up[image])


class Attained:
    """A gap above the best value met, or delta where that is the question."""

    def __init__(self, incumbent: Incumbent, gap: float, delta: float | None) -> None:
        self.attained, self._witness = incumbent.emplb.clone(), incumbent.witness.clone()
        self._gap, self._delta = gap, delta
        self._inner: tuple[Tensor, Tensor] | None = None

    @property
    def incumbent(self) -> Incumbent:
        """The best inputs met."""
        return Incumbent(self.attained, self._witness)

    def level(self, image: Tensor) -> Tensor:
        """See `Target`."""
        level = self.attained + GAP_SHARE * self._gap
        if self._delta is not None:
            level = torch.where(self.attained <= self._delta, self._delta, level)
        return level[image]

    def meet(self, joint: JointBound, subproblems: Subproblems, corner: Tensor) -> None:
        """See `Target`."""
        if self._inner is None:
            self._inner = joint.region.inner(torch.float32)
        ground, image = joint.ground(subproblems), subproblems.image
        points = (ground.region.middle[ground.index] + corner).float()
        points = torch.clamp(points, *(side[image] for side in self._inner))
        quick = [network(points) for network in joint.engine.quick.networks]
        hopeful = joint.measure.value(*quick).double() > self.attained[image]
        if not hopeful.any():
            return
        image = image[hopeful]
        points = joint.region[image].project(points[hopeful])
        exact = attained(joint.problem.networks, joint.measure, points).amax(dim=1)
        for k in exact.argsort():
            if exact[k] > self.attained[image[k]]:
                self.attained[image[k]], self._witness[image[k]] = exact[k], points[k]

    def stuck(self, image: Tensor) -> None:
        """See `Target`: what is attained may yet rise."""

    def refuted(self, image: int) -> bool:
        """See `Target`."""
        return self._delta is not None and bool(self.attained[image] > self._delta)
