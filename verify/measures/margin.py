"""Whether two networks can decide differently: queries (a, b), teacher's and student's class (docs/branching.md, "Agreement").

For classes `a != b` the inputs where the teacher can decide a and the student b satisfy `z_t,a - z_t,j >= 0` and `z_s,b - z_s,j >= 0`
for all j. If some average of these margins is negative everywhere, there is no such input, under any tie-breaking: the value of a query is
its smallest margin, and any average, whose weights are the free numbers, is above it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.measures.measure import Box, Measure
from verify.measures.subproblem import Subproblems
from verify.passes.objective import Objective, Point
from verify.region import dot
from verify.single.alone import Alone

# The rate of the search for the logits of the weights.
RATE = 0.1


class Margin(Measure):
    """`max over a != b of min over j of (z_t,a - z_t,j, z_s,b - z_s,j)`: negative where both networks always decide alike."""

    largest = torch.inf

    @property
    def queries(self) -> int:
        """See `Measure`."""
        return self.classes**2

    def separate(self, alone: Alone) -> Tensor:
        """See `Measure`: a class is impossible only where one of its margins is proved negative; NaN and infinity leave it possible."""
        teacher, student = (upper.amin(dim=1) for upper in alone.differences)
        both = torch.minimum(teacher[:, :, None], student[:, None, :])
        alike = torch.eye(self.classes, dtype=torch.bool, device=both.device)
        return both.masked_fill(alike, -torch.inf).flatten(1)

    def attained(self, teacher: Box, student: Box) -> Tensor:
        """See `Measure`."""
        return self._smallest(*(low[:, :, None] - high[:, None, :] for low, high in (teacher, student)))

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """See `Measure`."""
        return self._smallest(*(z[..., :, None] - z[..., None, :] for z in (teacher, student)))

    def objective(self, subproblems: Subproblems, dtype: torch.dtype) -> Average:
        """See `Measure`."""
        classes = (subproblems.query // self.classes, subproblems.query % self.classes)
        return Average([torch.nn.functional.one_hot(c, self.classes).to(dtype) for c in classes])

    def start(self, subproblems: Subproblems, teacher: Tensor, student: Tensor) -> Tensor:
        """See `Measure`: equal weights."""
        return teacher.new_zeros((len(subproblems), 2 * self.classes))

    def _smallest(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Every query's value, from the margins `(..., C, C)` of each network, those of a class over itself left out."""
        own = torch.eye(self.classes, dtype=torch.bool, device=teacher.device)
        least = [margins.masked_fill(own, torch.inf).amin(dim=-1) for margins in (teacher, student)]
        both = torch.minimum(least[0][..., :, None], least[1][..., None, :])
        return both.masked_fill(own, -torch.inf).flatten(-2)


class Average(Objective):
    """The average of both decisions' margins; its free numbers are the logits of the weights, teacher's and student's, `2 C`."""

    def __init__(self, decided: list[Tensor]) -> None:
        """decided: for each network `(n, C)`, 1 at the class whose margins are averaged."""
        self._decided = torch.cat(decided, dim=1)
        self.rates = self._decided.new_full((self._decided.shape[1],), RATE)
        self.least = torch.full_like(self.rates, -torch.inf)

    def at(self, free: Tensor) -> Point:
        """See `Objective`."""
        forms, sizes = [], []
        for weights, decided in zip(self._weights(free).chunk(2, dim=1), self._decided.chunk(2, dim=1), strict=True):
            own = decided * weights.sum(dim=1, keepdim=True)
            forms.append(own - weights)
            sizes.append(own + weights)
        return Point(free.new_zeros(len(free)), tuple(forms), tuple(sizes))

    def gradient(self, free: Tensor, point: Point, outputs: list[Tensor]) -> Tensor:
        """See `Objective`."""
        weights, pairs = self._weights(free), zip(outputs, self._decided.chunk(2, dim=1), strict=True)
        margins = torch.cat([dot(z, decided)[:, None] - z for z, decided in pairs], dim=1)
        return weights * (margins - dot(weights, margins)[:, None])

    def error(self, point: Point) -> Tensor:
        """See `Objective`."""
        return torch.zeros_like(point.value)

    def _weights(self, free: Tensor) -> Tensor:
        return free.masked_fill(self._decided.bool(), -torch.inf).softmax(dim=1)
