"""The largest difference of confidences: queries (class, sign), the sign 0 for `p_t - p_s` and 1 for `p_s - p_t` (docs/branching.md).

A subproblem keeps, for each network, the differences `d_j = z_j - z_label` of the logits and their log-sum-exp r: `2 C + 2` quantities.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.measures.head import Boxes, Head, conjugate, in_order
from verify.measures.measure import Box, Measure, Sought
from verify.measures.narrowing import narrowed
from verify.measures.softmax import confidence_bounds, lse_bounds, query_bounds
from verify.measures.splitting import inner, steep
from verify.measures.subproblem import Subproblems
from verify.passes.bound import Found
from verify.rounding import down, outward
from verify.single.alone import Alone
from verify.single.differences import box_differences, from_upper

# The smallest box of a quantity that is split.
SMALLEST_BOX = 1e-4


class Confidence(Measure):
    """`max over i of |p_t,i - p_s,i|`."""

    @property
    def queries(self) -> int:
        """See `Measure`."""
        return 2 * self.classes

    def separate(self, alone: Alone) -> Tensor:
        """Eq. 10 and 11, see `Measure`."""
        teacher, student = (confidence_bounds(*from_upper(upper)) for upper in alone.differences)
        return query_bounds(teacher, student).flatten(1)

    def attained(self, teacher: Box, student: Box) -> Tensor:
        """See `Measure`."""
        (t_low, t_high), (s_low, s_high) = (confidence_bounds(*box_differences(*box)) for box in (teacher, student))
        return down(torch.stack((t_low - s_high, s_low - t_high), dim=-1)).flatten(1)

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """See `Measure`."""
        difference = teacher.softmax(dim=-1) - student.softmax(dim=-1)
        return torch.stack((difference, -difference), dim=-1).flatten(-2)

    def value(self, teacher: Tensor, student: Tensor) -> Tensor:
        """See `Measure`."""
        return (teacher.softmax(dim=-1) - student.softmax(dim=-1)).abs().amax(dim=-1)

    def value_of(self, query: Tensor, teacher: Tensor, student: Tensor) -> Tensor:
        """See `Measure`."""
        label, sign = self.describe(query)
        p_t, p_s = (z.softmax(dim=-1).gather(1, label[:, None])[:, 0] for z in (teacher, student))
        return sign * (p_t - p_s)

    def describe(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """See `Measure`."""
        return query // 2, 1 - 2 * (query % 2)

    def objective(self, subproblems: Subproblems, dtype: torch.dtype) -> Head:
        """See `Measure`."""
        return Head(self.boxes(subproblems, dtype))

    def start(self, subproblems: Subproblems, teacher: Tensor, student: Tensor) -> Tensor:
        """See `Measure`."""
        return Head.start(self.boxes(subproblems, teacher.dtype), teacher, student)

    def boxes(self, subproblems: Subproblems, dtype: torch.dtype) -> Boxes:
        """What is known of the differences and their LSEs, as (up, down)."""
        label, sign = subproblems.query // 2, subproblems.query % 2
        sides = []
        for bounds in (subproblems.lower, subproblems.upper):
            own = bounds[:, subproblems.layout.measure].to(dtype)
            d, r = own[:, :-2].reshape(len(own), 2, self.classes), own[:, -2:]
            sides += [in_order(d[:, 0], d[:, 1], sign), in_order(r[:, 0], r[:, 1], sign)]
        return Boxes(label, sign, sides[0], sides[2], sides[1], sides[3])

    def own(self, alone: Alone, image: Tensor, query: Tensor) -> Box:
        """See `Measure`."""
        label = query // 2
        upper = torch.stack([upper_of[image, label] for upper_of in alone.differences], dim=1)
        lower = torch.stack([-upper_of[image, :, label] for upper_of in alone.differences], dim=1)
        is_label = torch.nn.functional.one_hot(label, self.classes).to(torch.bool)[:, None]
        lower, upper = lower.masked_fill(is_label, 0.0), upper.masked_fill(is_label, 0.0)
        r_lower, r_upper = lse_bounds(lower, upper, is_label)
        return torch.cat((lower.flatten(1), r_lower), dim=1), torch.cat((upper.flatten(1), r_upper), dim=1)

    def narrow(self, subproblems: Subproblems, level: Tensor) -> tuple[Subproblems, Tensor]:
        """See `Measure` and verify/measures/narrowing.py."""
        low, high, hopeless = narrowed(self.boxes(subproblems, torch.float64), level)
        sign = subproblems.query % 2
        sides = []
        for (d, r), upper in ((low, False), (high, True)):
            d_both, r_both = in_order(*d, sign), in_order(*r, sign)
            sides.append(outward(torch.cat((*d_both, torch.stack(r_both, dim=1)), dim=1), upper=upper))
        return subproblems.narrowed(subproblems.layout.measure, sides[0], sides[1]), hopeless

    def sought(self, subproblems: Subproblems) -> tuple[Sought, ...]:
        """See `Measure`: the differences."""
        label, start = subproblems.query // 2, subproblems.layout.measure.start
        is_label = torch.nn.functional.one_hot(label, self.classes)
        row, j = (is_label == 0).nonzero(as_tuple=True)
        forms = torch.nn.functional.one_hot(j, self.classes) - is_label[row]
        return tuple(Sought(row, start + k * self.classes + j, forms) for k in range(2))

    def label(self, query: Tensor) -> Tensor:
        """See `Measure`."""
        return query // 2

    def costs(self, subproblems: Subproblems, found: Found) -> Box:
        """See `Measure`. A difference of the lower confidence: how far the chord of its exponential is above it, in units of that
        confidence. An LSE: how far the sigmoid's line is above it."""
        boxes = self.boxes(subproblems, found.value.dtype)
        differences = boxes.differences(*found.results)
        sides = [_costs(boxes, differences[k], found.free[:, k], k) for k in range(2)]
        parts = [in_order(up, down, boxes.sign) for up, down in zip(*sides, strict=True)]
        d_cost, d_value, r_cost, r_value = (torch.cat(part, dim=1) for part in parts)
        return torch.cat((d_cost, r_cost), dim=1), torch.cat((d_value, r_value), dim=1)

    def moves(self, subproblems: Subproblems, found: Found, outputs: tuple[Tensor, Tensor]) -> Tensor:
        """See `Measure`; an LSE moves with the differences, by their weights in it."""
        boxes = self.boxes(subproblems, found.value.dtype)
        up, down = boxes.differences(*found.results)
        weights = in_order(*(d.masked_fill(boxes.is_label, -torch.inf).softmax(dim=1) for d in (up, down)), boxes.sign)  # type: ignore[call-arg]
        place = boxes.label[:, None, None].expand(-1, 1, outputs[0].shape[2])
        moves = [own - own.gather(1, place) for own in outputs]
        lses = [(weight[..., None] * own).sum(dim=1, keepdim=True) for weight, own in zip(weights, moves, strict=True)]
        return torch.cat((*moves, *lses), dim=1)

    def groups(self) -> list[int]:
        """See `Measure`: each network's differences, each LSE."""
        return [0] * self.classes + [1] * self.classes + [2, 3]

    def implied(self, bounds: Tensor) -> Tensor:
        """See `Measure`: of two classes `p_1 = 1 - p_0`, so class 1 has class 0's queries with the signs changed."""
        return torch.minimum(bounds, bounds.flip(1)) if self.classes == 2 else bounds

    def wanted(self) -> Tensor:
        """See `Measure`."""
        wanted = torch.ones(self.queries, dtype=torch.bool)
        if self.classes == 2:
            wanted[2:] = False
        return wanted


def _costs(boxes: Boxes, differences: Tensor, lam: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Costs and values of the differences `(n, C)` and of the LSE `(n, 1)` of one side (0: up, 1: down)."""
    low, high, is_label = boxes.lower[side], boxes.upper[side], boxes.is_label
    at = torch.minimum(torch.maximum(differences, low), high)
    r = at.masked_fill(is_label, -torch.inf).logsumexp(dim=1)
    confidence = torch.sigmoid(-r)
    share = (at - low) / (high - low).clamp(min=1e-6)
    chord = (low - r[:, None]).exp() * (1 - share) + (high - r[:, None]).exp() * share
    loose = (chord - (at - r[:, None]).exp()) * (confidence * (1 - confidence))[:, None]
    splittable = (high - low > SMALLEST_BOX) & ~is_label
    # The tangent of the upper confidence touches at this point: nothing is lost there.
    costs = torch.where(splittable, loose if side == 1 else torch.zeros_like(loose), -1.0)
    r_low, r_high = boxes.r_lower[side], boxes.r_upper[side]
    r = torch.minimum(torch.maximum(r, r_low), r_high)
    v, ends = (-r, (-r_high, -r_low)) if side == 0 else (r, (r_low, r_high))
    highest, _ = conjugate(lam, *ends)
    lse = torch.where(r_high - r_low > SMALLEST_BOX, (highest + lam * v - torch.sigmoid(v)).clamp(min=0), -1.0)
    return costs, inner(at, low, high), lse[:, None], steep(r, r_low, r_high)[:, None]
