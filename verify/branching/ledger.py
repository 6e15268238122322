"""What is proved of every query while its leaves come and go."""

from __future__ import annotations

import torch
from torch import Tensor

from verify.branching.pool import Pool
from verify.measures.measure import Measure
from verify.measures.subproblem import Subproblems


class Ledger:
    """For each query `(n, queries)`: best, the bound that its work started from, and the largest bound of its closed leaves."""

    def __init__(self, best: Tensor, measure: Measure) -> None:
        self._measure = measure
        self.best = measure.implied(best.clone())
        self._closed = torch.full_like(best, -torch.inf)

    def begin(self, images: Tensor, wanted: Tensor) -> None:
        """Images `(m,)` begin (anew) with the `wanted` `(m, queries)` queries; the others are what they are known to be."""
        self._closed[images] = torch.where(wanted, -torch.inf, self.best[images])

    def keep(self, images: Tensor | int) -> None:
        """Images end with what they started from."""
        self._closed[images] = self.best[images]

    def close(self, subproblems: Subproblems, bound: Tensor, which: Tensor | None = None) -> None:
        """Leaves: their own bounds `(n,)` enter their queries' answers; which: truth values, all unless given."""
        place = subproblems.image * self._measure.queries + subproblems.query
        if which is not None:
            place, bound = place[which], bound[which]
        self._closed.view(-1).scatter_reduce_(0, place, bound, "amax")

    def lower(self, images: Tensor, bounds: Tensor) -> None:
        """Bounds `(m, queries)` of whole queries of images `(m,)` that are proved otherwise."""
        self.best[images] = torch.minimum(self.best[images], bounds)

    def bounds(self, pool: Pool | None) -> Tensor:
        """Every query's largest leaf, closed or open, never above what its work started from."""
        largest = self._closed.clone()
        if pool is not None:
            _, image, query, bound = pool.listing()
            largest.view(-1).scatter_reduce_(0, image * self._measure.queries + query, bound, "amax")
        bounds = torch.where(largest == -torch.inf, self.best, torch.minimum(largest, self.best))
        return self._measure.implied(bounds)
