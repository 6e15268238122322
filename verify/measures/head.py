"""Both softmaxes of a query under one linear form of their logit differences (docs/branching.md, "The head").

A query (class i, sign) asks for the largest `p_up,i - p_down,i`, where `up` is the teacher for the first sign and the student for the
second. With `d_j = z_j - z_i`, `r = log sum_{j != i} exp(d_j)` and the sigmoid `s`, `p_i = s(-r)` and `-p_i = s(r) - 1`.

- `s(v) <= lam v + kappa(lam)` on `[a, b]` for every `lam >= 0`, `kappa(lam) = max over [a, b] of s(v) - lam v`: the chord, every
  tangent, every mixture with a constant and the cut `v >= a` are values of this one function.
- up, `v = -r`: `r >= w . d + H(w)` for w on the simplex; and `nu . d - min(nu . box) >= 0` for any real nu.
- down, `v = r`: `lam r <= g . d + max over the box's vertices of (lam LSE(v) - g . v)` for any real g.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.passes.native.constants import VERTEX_CLASSES
from verify.passes.objective import Compiled, Objective, Point
from verify.rounding import head_error

# The rates of the search for lam, the logits of w, nu and g.
RATES = (0.01, 0.1, 0.01, 0.01)


@dataclass(frozen=True)
class Boxes:
    """What is known of both networks' differences from class `label` `(n,)`, in order (up, down); sign `(n,)`: 0 where the teacher is up.

    lower, upper: `(n, C)` each, 0 at the label itself; r_lower, r_upper: `(n,)` each.
    """

    label: Tensor
    sign: Tensor
    lower: tuple[Tensor, Tensor]
    upper: tuple[Tensor, Tensor]
    r_lower: tuple[Tensor, Tensor]
    r_upper: tuple[Tensor, Tensor]

    @property
    def is_label(self) -> Tensor:
        """`(n, C)` truth values."""
        return torch.nn.functional.one_hot(self.label, self.lower[0].shape[1]).to(torch.bool)

    def differences(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """The differences `(n, C)` from the label, (up, down), of both networks' logits."""
        label = self.label[:, None]
        return in_order(teacher - teacher.gather(1, label), student - student.gather(1, label), self.sign)


@dataclass(frozen=True)
class HeadPoint(Point):
    """The head at one choice of its free numbers; besides, its coefficients of the differences (up, down), the sum of the absolute values
    that went into all of it, and where its own maxima are."""

    size: Tensor
    touching: tuple[Tensor, Tensor]
    log_weights: Tensor
    vertex: Tensor
    vertex_lse: Tensor


class Head(Objective):
    """The head of `n` subproblems. Its free numbers are one row of `2 + 3 C`: lam up, lam down, logits of w, nu, g."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        self._is_label = boxes.is_label
        lower, upper = boxes.lower[1], boxes.upper[1]
        classes = lower.shape[1]
        count = min(classes - 1, VERTEX_CLASSES)
        order = upper.masked_fill(self._is_label, -torch.inf).topk(classes - 1, dim=1).indices
        self._chosen, rest = order[:, :count], order[:, count:]
        self._low, self._high = lower.gather(1, self._chosen), upper.gather(1, self._chosen)
        vertices = torch.arange(2**count, device=lower.device)
        self._bits = ((vertices >> torch.arange(count, device=lower.device)[:, None]) & 1).to(lower.dtype)
        self._table = vertex_lse(self._low, self._high, upper.gather(1, rest), self._bits)
        self._reach = [torch.maximum(low.abs(), high.abs()) for low, high in zip(boxes.lower, boxes.upper, strict=True)]
        lam, *others = RATES
        self.rates = lower.new_tensor([lam] * 2 + [rate for rate in others for _ in range(classes)])
        self.least = torch.full_like(self.rates, -torch.inf)
        self.least[:2] = 0
        self.compiled = Compiled(boxes.label, boxes.sign, RATES)

    @staticmethod
    def start(boxes: Boxes, teacher: Tensor, student: Tensor) -> Tensor:
        """Free numbers `(n, 2 + 3 C)` for a point with these logits `(n, C)`."""
        differences, hidden = boxes.differences(teacher, student), boxes.is_label
        slopes, weights = [], []
        for k in range(2):
            d = differences[k].masked_fill(hidden, -torch.inf)
            p = torch.sigmoid(d.logsumexp(dim=1).clamp(boxes.r_lower[k], boxes.r_upper[k]))
            slopes.append((p * (1 - p))[:, None])
            weights.append(d.softmax(dim=1))
        logits = differences[0].masked_fill(hidden, 0.0)
        return torch.cat((*slopes, logits, torch.zeros_like(logits), slopes[1] * weights[1]), dim=1)

    def at(self, free: Tensor) -> HeadPoint:
        """See `Objective`; negative lam count as 0."""
        boxes = self._boxes
        lam_up, lam_down, logits, nu, g = self._read(free)
        log_w = logits.masked_fill(self._is_label, -torch.inf).log_softmax(dim=1).masked_fill(self._is_label, 0.0)
        w = log_w.exp().masked_fill(self._is_label, 0.0)
        entropy = -(w * log_w).sum(dim=1)
        kappa_up, touch_up = conjugate(lam_up, -boxes.r_upper[0], -boxes.r_lower[0])
        kappa_down, touch_down = conjugate(lam_down, boxes.r_lower[1], boxes.r_upper[1])
        cut = torch.maximum(-nu * boxes.lower[0], -nu * boxes.upper[0]).sum(dim=1)
        chosen = g.gather(1, self._chosen)
        width = self._high - self._low
        heights = torch.addcmul((chosen * -width) @ self._bits, lam_down[:, None], self._table)
        highest, place = heights.max(dim=1)
        rest = g.scatter(1, self._chosen, 0.0)
        vertex = torch.where(rest > 0, boxes.lower[1], boxes.upper[1])
        vertex = vertex.scatter(1, self._chosen, self._low + self._bits.T[place] * width)
        plane = highest - (chosen * self._low).sum(dim=1) - (rest * vertex).sum(dim=1)
        value = kappa_up - lam_up * entropy + cut + kappa_down - 1 + plane
        reach_up, reach_down = self._reach
        size = (
            2 + lam_up * (1 + entropy + torch.maximum(boxes.r_lower[0].abs(), boxes.r_upper[0].abs()))
            + lam_down * (1 + torch.maximum(boxes.r_lower[1].abs(), boxes.r_upper[1].abs()) + reach_down.amax(dim=1))
            + ((lam_up[:, None] * w + nu.abs()) * reach_up).sum(dim=1) + (g.abs() * reach_down).sum(dim=1)
        )  # fmt: skip
        lse = self._table.gather(1, place[:, None])[:, 0]
        forms, sizes = self._of_logits(nu - lam_up[:, None] * w, g)
        return HeadPoint(value, forms, sizes, size, (touch_up, touch_down), log_w, vertex, lse)

    def gradient(self, free: Tensor, point: Point, outputs: list[Tensor]) -> Tensor:
        """See `Objective`."""
        assert isinstance(point, HeadPoint)
        boxes = self._boxes
        up, down = boxes.differences(*outputs)
        lam_up, _, _, nu, _ = self._read(free)
        w = point.log_weights.exp().masked_fill(self._is_label, 0.0)
        slack = up - point.log_weights
        by_lam = -point.touching[0] - (w * slack).sum(dim=1)
        by_w = -lam_up[:, None] * slack
        by_logits = w * (by_w - (w * by_w).sum(dim=1, keepdim=True))
        end = torch.where(
            nu > 0, boxes.lower[0], torch.where(nu < 0, boxes.upper[0], up.clamp(boxes.lower[0], boxes.upper[0]))
        )
        by_nu, by_g = (
            (one - other).masked_fill(self._is_label, 0.0) for one, other in ((up, end), (down, point.vertex))
        )
        by_lam_down = (point.vertex_lse - point.touching[1])[:, None]
        return torch.cat((by_lam[:, None], by_lam_down, by_logits, by_nu, by_g), dim=1)

    def error(self, point: Point) -> Tensor:
        """See `Objective`."""
        assert isinstance(point, HeadPoint)
        return head_error(point.size, self._is_label.shape[1])

    def _of_logits(self, up: Tensor, down: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Coefficients of the teacher's and the student's logits, from those of `d_j = z_j - z_label`, and what they were summed from."""
        forms = [d - self._is_label * d.sum(dim=1, keepdim=True) for d in (up, down)]
        sizes = [d.abs() + self._is_label * d.abs().sum(dim=1, keepdim=True) for d in (up, down)]
        sign = self._boxes.sign
        return in_order(forms[0], forms[1], sign), in_order(sizes[0], sizes[1], sign)

    def _read(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        classes = self._is_label.shape[1]
        lam = free[:, :2].clamp(min=0)
        logits, nu, g = free[:, 2:].reshape(len(free), 3, classes).unbind(dim=1)
        return lam[:, 0], lam[:, 1], logits, nu.masked_fill(self._is_label, 0.0), g.masked_fill(self._is_label, 0.0)


def vertex_lse(low: Tensor, high: Tensor, rest: Tensor, bits: Tensor) -> Tensor:
    """The LSE `(n, 2^k)` at every vertex of boxes `(n, k)`, together with `rest` `(n, m)`; bits `(k, 2^k)`: vertices, 1 where high."""
    top = torch.cat((high, rest), dim=1).amax(dim=1, keepdim=True)
    small, large, others = low - top, high - top, rest - top
    if bool((small >= -0.8 * math.log(torch.finfo(low.dtype).max)).all()):
        total = small.exp().sum(dim=1, keepdim=True) + others.exp().sum(dim=1, keepdim=True)
        return torch.log((large.exp() - small.exp()) @ bits + total) + top
    # Exponentials would lose the vertices far below the top: add their logarithms one after the other.
    table = others.logsumexp(dim=1, keepdim=True)
    for k in range(low.shape[1]):
        table = torch.cat([torch.logaddexp(table, side[:, k : k + 1]) for side in (small, large)], dim=1)
    return table + top


def in_order(one: Tensor, other: Tensor, sign: Tensor) -> tuple[Tensor, Tensor]:
    """(teacher, student) as (up, down), or back: the teacher is up where the sign is 0."""
    is_up = (sign == 0)[:, None] if one.ndim > 1 else sign == 0
    return torch.where(is_up, one, other), torch.where(is_up, other, one)


def conjugate(lam: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`max over [a, b] of sigmoid(v) - lam v` and where it is, for `lam >= 0`.

    Inside, the maximum is where the slope is lam on the concave side, `v = log((1 - 2 lam + root) / (2 lam))`, `root^2 = 1 - 4 lam`; for
    lam above 1/4 there is none and the function falls. It is stationary there, so an inexact `v` costs nothing but rounding.
    """
    tiny = torch.finfo(lam.dtype).tiny
    root = (1 - 4 * lam).clamp(min=0).sqrt()
    inside = torch.log((1 - 2 * lam + root) / (2 * lam).clamp(min=tiny))
    inside = torch.where(lam < 0.25, torch.minimum(torch.maximum(inside, a), b), a)
    points = torch.stack((a, b, inside))
    values = torch.sigmoid(points) - lam * points
    best, place = values.max(dim=0)
    return best, points.gather(0, place[None])[0]
