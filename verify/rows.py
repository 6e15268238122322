"""The rows of the flat program: a query (image, class, sign) over a part of its region, and what is known there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.heads import Boxes
from verify.pair import Neurons
from verify.rounding import lse_error


@dataclass(frozen=True)
class Rows:
    """A batch of queries, each over its own part of an image's region.

    image, label, sign `(n,)`: sign 0 asks for `p_t - p_s`, 1 for `p_s - p_t`. lower, upper `(n, width + 2 C + 2 + inputs)`, rounded
    outward to float32: bounds of all hidden neurons (teacher's, then student's), of the differences from the label (the same), of their
    LSEs, and, where there are few inputs, of these: as parts of the region's half widths, from -1 to 1.
    """

    image: Tensor
    label: Tensor
    sign: Tensor
    lower: Tensor
    upper: Tensor
    classes: int
    inputs: int

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, index: Tensor | slice) -> Rows:
        image, label, sign, lower, upper = (column[index] for column in self.columns())
        return Rows(image, label, sign, lower, upper, self.classes, self.inputs)

    def columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Everything of a row, a tensor each."""
        return self.image, self.label, self.sign, self.lower, self.upper

    def boxed(self, lower: Tensor, upper: Tensor) -> Rows:
        """The same queries with other boxes."""
        return Rows(self.image, self.label, self.sign, lower, upper, self.classes, self.inputs)

    @staticmethod
    def cat(parts: Sequence[Rows]) -> Rows:
        """All rows of several batches."""
        image, label, sign, lower, upper = map(torch.cat, zip(*(part.columns() for part in parts), strict=True))
        return Rows(image, label, sign, lower, upper, parts[0].classes, parts[0].inputs)

    @property
    def width(self) -> int:
        """Number of hidden neurons."""
        return self.lower.shape[1] - self.inputs - 2 * self.classes - 2

    @property
    def head(self) -> slice:
        """The columns of the differences and their LSEs."""
        return slice(self.width, self.lower.shape[1] - self.inputs)

    @property
    def is_label(self) -> Tensor:
        """`(n, C)` truth values."""
        return torch.nn.functional.one_hot(self.label, self.classes).to(torch.bool)

    def up_down(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """The differences `(n, C)` from the label, (up, down), of both networks' logits."""
        label, is_up = self.label[:, None], (self.sign == 0)[:, None]
        teacher, student = teacher - teacher.gather(1, label), student - student.gather(1, label)
        return torch.where(is_up, teacher, student), torch.where(is_up, student, teacher)

    def neurons(self, dtype: torch.dtype) -> Neurons:
        """What is known of the hidden neurons."""
        return Neurons.of(self.lower[:, : self.width].to(dtype), self.upper[:, : self.width].to(dtype))

    def boxes(self, dtype: torch.dtype) -> Boxes:
        """What is known of the differences and their LSEs, as (up, down)."""
        (d_lower, r_lower), (d_upper, r_upper) = self._parts(self.lower, dtype), self._parts(self.upper, dtype)
        return Boxes(self.label, d_lower, d_upper, r_lower, r_upper)

    def _parts(self, bounds: Tensor, dtype: torch.dtype) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        n = torch.arange(len(self), device=self.sign.device)
        head = bounds[:, self.head].to(dtype)
        d, r = head[:, :-2].reshape(len(self), 2, self.classes), head[:, -2:]
        return (d[n, self.sign], d[n, 1 - self.sign]), (r[n, self.sign], r[n, 1 - self.sign])


def r_bounds(d_lower: Tensor, d_upper: Tensor, is_label: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds `(n, 2)` of `LSE(d)` over the classes that are not the label, from boxes `(n, 2, C)`, rounded outward."""
    low, high = (d.double().masked_fill(is_label, -torch.inf).logsumexp(dim=2) for d in (d_lower, d_upper))
    classes = d_lower.shape[2]
    return low - lse_error(low, classes), high + lse_error(high, classes)
