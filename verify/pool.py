"""The open nodes of a branch and bound, in storage that grows by doubling up to a limit in bytes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from verify.rows import Rows


@dataclass(frozen=True)
class Nodes:
    """A batch of bounded rows and the split that each is to have next.

    slopes `(n, width)` and free `(n, 2 + 3 C)`: where the search for the bound ended; bound `(n,)` float64; variable, value `(n,)`
    and what the relaxation says that variable costs.
    """

    rows: Rows
    slopes: Tensor
    free: Tensor
    bound: Tensor
    variable: Tensor
    value: Tensor
    cost: Tensor

    def __len__(self) -> int:
        return len(self.bound)

    def __getitem__(self, index: Tensor) -> Nodes:
        return Nodes(*(getattr(self, field.name)[index] for field in fields(self)))

    def columns(self) -> list[Tensor]:
        """Everything of a node, a tensor each."""
        return [*self.rows.columns(), self.slopes, self.free, self.bound, self.variable, self.value, self.cost]

    @staticmethod
    def of(columns: list[Tensor], classes: int, inputs: int) -> Nodes:
        """The inverse of `columns`."""
        image, label, sign, lower, upper, *others = columns
        return Nodes(Rows(image, label, sign, lower, upper, classes, inputs), *others)


class Pool:
    """A set of open nodes. Slots are reused, so that memory follows the largest number of nodes open at once."""

    def __init__(self, example: Nodes, max_bytes: int) -> None:
        self._classes, self._inputs = example.rows.classes, example.rows.inputs
        self.columns = [column[:0].clone() for column in example.columns()]
        size = sum(column[:1].numel() * column.element_size() for column in example.columns())
        self._most = max(max_bytes // size, 1)
        self._used = torch.zeros(0, dtype=torch.bool, device=example.bound.device)
        self.count = 0

    def room(self) -> int:
        """How many more nodes the limit allows."""
        return self._most - self.count

    def add(self, nodes: Nodes) -> None:
        """Store nodes; more than `room()` is a mistake."""
        assert len(nodes) <= self.room(), "the pool's limit is passed"
        need = self.count + len(nodes)
        if need > len(self._used):
            size = min(max(2 * len(self._used), need, 1024), self._most)
            grow = size - len(self._used)
            self.columns = [torch.cat((c, c.new_zeros((grow, *c.shape[1:])))) for c in self.columns]
            self._used = torch.cat((self._used, self._used.new_zeros(grow)))
        slots = (~self._used).nonzero()[: len(nodes), 0]
        for mine, new in zip(self.columns, nodes.columns(), strict=True):
            mine[slots] = new
        self._used[slots] = True
        self.count = need

    def listing(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Slots, image, label, sign and bound of all open nodes."""
        slots = self._used.nonzero()[:, 0]
        image, label, sign, bound = (self.columns[k][slots] for k in (0, 1, 2, 7))
        return slots, image, label, sign, bound

    def peek(self, slots: Tensor) -> Nodes:
        """The nodes of these slots."""
        return Nodes.of([column[slots] for column in self.columns], self._classes, self._inputs)

    def remove(self, slots: Tensor) -> None:
        """Forget the nodes of these slots."""
        self._used[slots] = False
        self.count -= len(slots)
