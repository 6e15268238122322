"""What the joint bounds and branch and bound need to know of a measure, and all that they need.

A measure is the largest of some functions of both networks' outputs, its queries. A new one says how its queries are bounded from what
is known of each network alone, what they attain at a point, and which linear forms of the outputs bound them; everything else has a
default: no free numbers, nothing that it keeps in a subproblem, nothing that follows from a level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.measures.subproblem import Subproblems
from verify.passes.bound import Found
from verify.passes.objective import Objective
from verify.single.alone import Alone

Box = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Sought:
    """Linear forms of one network's outputs whose boxes a subproblem keeps, to be tightened: of subproblems `(m,)`, in columns `(m,)`,
    forms `(m, C)`."""

    row: Tensor
    column: Tensor
    forms: Tensor


class Measure(ABC):
    """A measure of two networks with `classes` outputs each."""

    largest: float = 1.0

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @property
    @abstractmethod
    def queries(self) -> int:
        """How many queries there are."""

    @abstractmethod
    def separate(self, alone: Alone) -> Tensor:
        """Upper bounds `(n, queries)` from bounds of each network alone, rounded outward."""

    @abstractmethod
    def attained(self, teacher: Box, student: Box) -> Tensor:
        """Lower bounds `(n, queries)` at points where the logits lie in the boxes `(n, C)`, rounded outward."""

    @abstractmethod
    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Every query's value `(n, queries)` at logits `(n, C)`; differentiable."""

    @abstractmethod
    def objective(self, subproblems: Subproblems, dtype: torch.dtype) -> Objective:
        """What is bounded in each subproblem."""

    @abstractmethod
    def start(self, subproblems: Subproblems, teacher: Tensor, student: Tensor) -> Tensor:
        """Free numbers of the objective to begin with, for a point with these logits `(n, C)`."""

    def value(self, teacher: Tensor, student: Tensor) -> Tensor:
        """The measure `(n,)` at logits `(n, C)`, which a search maximises."""
        return self.values(teacher, student).amax(dim=-1)

    def value_of(self, query: Tensor, teacher: Tensor, student: Tensor) -> Tensor:
        """The values `(n,)` of queries `(n,)` at logits `(n, C)`; differentiable."""
        return self.values(teacher, student).gather(1, query[:, None])[:, 0]

    def describe(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """The class (or output) and the sign, +1 for teacher over student, of queries `(n,)`."""
        return query, torch.ones_like(query)

    def own(self, alone: Alone, image: Tensor, query: Tensor) -> Box:
        """Boxes `(n, quantities)` of what it keeps in a subproblem, from bounds of each network alone; float64."""
        none = alone.differences[0].new_zeros((len(image), 0))
        return none, none

    def narrow(self, subproblems: Subproblems, level: Tensor) -> tuple[Subproblems, Tensor]:
        """Boxes cut to where the query can exceed `level` `(n,)`, and which subproblems cannot at all."""
        return subproblems, torch.zeros(len(subproblems), dtype=torch.bool, device=level.device)

    def sought(self, subproblems: Subproblems) -> tuple[Sought, ...]:
        """For each network the forms that its quantities are."""
        return ()

    def label(self, query: Tensor) -> Tensor | None:
        """Where its quantities are both networks' differences of logits from a class, and then an LSE each: that class `(n,)`."""
        return None

    def costs(self, subproblems: Subproblems, found: Found) -> Box:
        """What the objective's bound gives away at every quantity that it keeps, `(n, quantities)`, -1 where a split makes no sense, and
        where to split it."""
        none = found.value.new_zeros((len(subproblems), 0))
        return none, none

    def moves(self, subproblems: Subproblems, found: Found, outputs: tuple[Tensor, Tensor]) -> Tensor:
        """How much each input moves its quantities, `(n, quantities, inputs)`, from how much it moves the logits `(n, C, inputs)`."""
        return outputs[0][:, :0]

    def groups(self) -> list[int]:
        """For every quantity the number of its group, for pseudo-costs."""
        return []

    def implied(self, bounds: Tensor) -> Tensor:
        """Bounds `(n, queries)`, where the queries tell of each other."""
        return bounds

    def wanted(self) -> Tensor:
        """`(queries,)` truth values: those that branch and bound works on; the others are implied."""
        return torch.ones(self.queries, dtype=torch.bool)
