"""What a node is split on, and what a split implies (docs/branching.md, "Splits").

Hidden neurons, logit differences and their LSEs are the entries of one vector of variables with a box, so that every split is the same:
one entry, one value, and two children with the box below and above it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.engine import Engine, Found
from verify.heads import Boxes, conjugate, in_order
from verify.history import History
from verify.rounding import LEVEL_SLACK, lse_error, most, outward
from verify.rows import Rows, r_bounds

# The smallest part of a box that a child may have, and the smallest box that is split.
SMALLEST_PART, SMALLEST_BOX = 0.2, 1e-4
# Splits that are tried by a pass through their children; what one pass misses of a head's split, as a part of its cost.
SHORTLIST = 8
HEAD_SHARE = 0.5
# What a split that helps one child only counts for.
ONE_SIDED = 1e-6


def choose_split(
    engine: Engine, history: History, rows: Rows, found: Found, threshold: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """For every row the variable `(n,)` whose children promise most, the value to split it at, and the gain that one pass sees."""
    cost, value = costs(rows, found)
    room = (found.value.double() - threshold).clamp(min=1e-9).to(cost.dtype)[:, None, None]

    def promise(variables: Tensor, gains: Tensor) -> Tensor:
        expected = torch.minimum(history.expected(rows, variables, gains), room) / room
        return (expected + ONE_SIDED).prod(dim=2).masked_fill(cost.gather(1, variables) < 0, -1.0)

    every = torch.arange(cost.shape[1], device=cost.device).expand(len(rows), -1)
    short = promise(every, cost[..., None].clamp(min=0)).topk(min(SHORTLIST, cost.shape[1]), dim=1).indices
    gains = glances(engine, rows, found, threshold, short, value.gather(1, short))
    of_head = (short >= rows.width)[..., None]
    gains = torch.where(of_head, torch.maximum(gains, HEAD_SHARE * cost.gather(1, short)[..., None]), gains)
    best = promise(short, gains).argmax(dim=1, keepdim=True)
    variable = short.gather(1, best)
    return variable[:, 0], value.gather(1, variable)[:, 0], gains.mean(dim=2).gather(1, best)[:, 0]


def glances(engine: Engine, rows: Rows, found: Found, threshold: Tensor, variables: Tensor, values: Tensor) -> Tensor:
    """What one pass through each child says that the splits `(n, k)` gain below and above, `(n, k, 2)`."""
    n, count = variables.shape
    parent = torch.arange(n, device=variables.device).repeat_interleave(count)
    variable, room = variables.flatten(), (found.value.double() - threshold).clamp(min=0)[parent]
    # A neuron's number is a multiplier in its children, and starts at 0; what follows for the head is told by a head's split only.
    slopes = torch.cat((found.slopes, found.slopes.new_zeros((n, 1))), dim=1)[parent]
    slopes = slopes.scatter(1, variable.clamp(max=rows.width)[:, None], 0.0)[:, : rows.width]
    of_head = (variable >= rows.width).nonzero()[:, 0]
    gains = []
    for child in split(rows[parent], variable, values.flatten()):
        empty = torch.zeros_like(parent, dtype=torch.bool)
        if len(of_head):
            narrowed, empty[of_head] = narrow(child[of_head], threshold[parent[of_head]])
            child.lower[of_head], child.upper[of_head] = narrowed.lower, narrowed.upper
        gain = found.value[parent].double() - engine.glance(child, slopes, found.free[parent]).double()
        gain = torch.where(empty, room, torch.minimum(gain, room)).nan_to_num(0, 0, 0).clamp(min=0)
        gains.append(gain.to(found.value.dtype).reshape(n, count))
    return torch.stack(gains, dim=2)


def costs(rows: Rows, found: Found) -> tuple[Tensor, Tensor]:
    """What the relaxation gives away at every variable, -1 where it cannot be split, and where to split it; `(n, variables)`.

    A ReLU: its coefficient times its intercept. A difference of the lower confidence: how far the chord of its exponential is above it, in
    units of that confidence. An LSE: how far the sigmoid's line is above it. All at the relaxation's own point.
    """
    neurons = rows.neurons(found.slopes.dtype)
    relus = (found.outputs.abs() * neurons.intercept).masked_fill(~neurons.unstable, -1.0)
    boxes = rows.boxes(found.slopes.dtype)
    sides = [_head_costs(boxes, found, side, rows.is_label) for side in range(2)]
    pairs = [torch.cat(in_order(up, down, rows.sign), dim=1) for up, down in zip(*sides, strict=True)]
    differences, difference_values, lses, lse_values = pairs
    return (
        torch.cat((relus, differences, lses), dim=1),
        torch.cat((torch.zeros_like(relus), difference_values, lse_values), dim=1),
    )


def _head_costs(boxes: Boxes, found: Found, side: int, is_label: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Costs and values of the differences `(n, C)` and of the LSE `(n, 1)` of one side (0: up, 1: down)."""
    low, high = boxes.lower[side], boxes.upper[side]
    at = torch.minimum(torch.maximum(found.differences[side], low), high)
    r = at.masked_fill(is_label, -torch.inf).logsumexp(dim=1)
    confidence = torch.sigmoid(-r)
    share = (at - low) / (high - low).clamp(min=1e-6)
    chord = (low - r[:, None]).exp() * (1 - share) + (high - r[:, None]).exp() * share
    loose = (chord - (at - r[:, None]).exp()) * (confidence * (1 - confidence))[:, None]
    splittable = (high - low > SMALLEST_BOX) & ~is_label
    # The tangent of the upper confidence touches at this point: nothing is lost there.
    differences = torch.where(splittable, loose if side == 1 else torch.zeros_like(loose), -1.0)
    r_low, r_high = boxes.r_lower[side], boxes.r_upper[side]
    r = torch.minimum(torch.maximum(r, r_low), r_high)
    lam = found.free[:, side]
    v, ends = (-r, (-r_high, -r_low)) if side == 0 else (r, (r_low, r_high))
    highest, _ = conjugate(lam, *ends)
    lse = torch.where(r_high - r_low > SMALLEST_BOX, (highest + lam * v - torch.sigmoid(v)).clamp(min=0), -1.0)
    return differences, inner(at, low, high), lse[:, None], inner(r, r_low, r_high)[:, None]


def split(rows: Rows, variable: Tensor, value: Tensor) -> tuple[Rows, Rows]:
    """The children with the variable at most and at least the value."""
    where = variable[:, None]
    value = value[:, None].to(rows.lower.dtype)
    upper = rows.upper.scatter(1, where, torch.minimum(rows.upper.gather(1, where), value))
    lower = rows.lower.scatter(1, where, torch.maximum(rows.lower.gather(1, where), value))
    return (
        Rows(rows.image, rows.label, rows.sign, rows.lower, upper, rows.classes),
        Rows(rows.image, rows.label, rows.sign, lower, rows.upper, rows.classes),
    )


def narrow(rows: Rows, threshold: Tensor) -> tuple[Rows, Tensor]:
    """Boxes cut to where the query can exceed `threshold` `(n,)` float64, and which rows are empty then.

    A bound of the cut rows is one of the rows after a maximum with the threshold. Uses `p_up > threshold + p_down`, `d_j <= LSE(d)` and
    `exp(d_j) >= exp(LSE(d)) - sum of the others`.
    """
    n, classes = len(rows), rows.classes
    low, high = rows.lower[:, rows.width :].double(), rows.upper[:, rows.width :].double()
    d_low, d_high = (t[:, :-2].reshape(n, 2, classes) for t in (low, high))
    is_label = rows.is_label[:, None]
    r_low, r_high = r_bounds(d_low, d_high, is_label)
    r_low, r_high = torch.maximum(r_low, low[:, -2:]), torch.minimum(r_high, high[:, -2:])
    every = torch.arange(n, device=rows.sign.device)
    up, down = rows.sign, 1 - rows.sign
    largest = torch.sigmoid(-r_low[every, up])
    smallest = torch.sigmoid(-r_high[every, down])
    hopeless = largest - smallest + LEVEL_SLACK < threshold
    least_up, most_down = threshold + smallest, largest - threshold
    r_high[every, up] = torch.minimum(r_high[every, up], log_odds(1 - least_up + LEVEL_SLACK))
    r_low[every, down] = torch.maximum(r_low[every, down], -log_odds(most_down + LEVEL_SLACK))
    reach = torch.maximum(r_low.abs(), r_high.abs())
    d_high = torch.where(is_label, d_high, torch.minimum(d_high, (r_high + lse_error(reach, classes))[:, :, None]))
    top = d_high.masked_fill(is_label, -torch.inf).amax(dim=2, keepdim=True)
    parts = (d_high - top).exp().masked_fill(is_label, 0.0)
    left = (r_low[:, :, None] - top).exp() - (parts.sum(dim=2, keepdim=True) - parts)
    implied = torch.log((left - LEVEL_SLACK * classes**2).clamp(min=1e-300)) + top
    implied = implied - lse_error(reach[:, :, None] + top.abs(), classes)
    d_low = torch.where(~is_label & (left >= 1e-6), most(d_low, implied), d_low)
    low = outward(torch.cat((d_low.flatten(1), r_low), dim=1), upper=False)
    high = outward(torch.cat((d_high.flatten(1), r_high), dim=1), upper=True)
    lower = torch.cat((rows.lower[:, : rows.width], torch.maximum(low, rows.lower[:, rows.width :])), dim=1)
    upper = torch.cat((rows.upper[:, : rows.width], torch.minimum(high, rows.upper[:, rows.width :])), dim=1)
    empty = hopeless | (lower > upper).any(dim=1)
    return Rows(rows.image, rows.label, rows.sign, lower, upper, classes), empty


def inherited(parent: Rows, child: Rows, slopes: Tensor) -> Tensor:
    """A parent's slopes for its child: where a neuron is no longer unstable, its number is a multiplier, and starts at 0."""
    before, after = parent.neurons(slopes.dtype).unstable, child.neurons(slopes.dtype).unstable
    return torch.where(before & ~after, 0.0, slopes)


def inner(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`value` moved away from the ends of `[low, high]`."""
    margin = SMALLEST_PART * (high - low)
    return torch.minimum(torch.maximum(value, low + margin), high - margin)


def log_odds(p: Tensor) -> Tensor:
    """`log(p / (1 - p))`, infinite from 1 on, kept away from 0 where it would lose its precision."""
    p = p.clamp(min=1e-6)
    return torch.where(p < 1, torch.log(p / (1 - p).clamp(min=1e-300)), torch.inf)
