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
# Beyond it the sigmoid is within 2 per cent of 0 or 1.
STEEP = 4.0
# Up to so many inputs, smaller boxes of inputs shrink the differences and LSEs faster than splitting them does.
FEW_INPUTS = 12
# What the costliest input promises at least, as a part of what there is to gain: where every bound is far too large, no split gains on
# both sides, and only smaller boxes of inputs help.
INPUT_FLOOR = 0.02
# The part of all costs that falls on the inputs by their widths alone, and the smallest share of a region that is split.
WIDTH_SHARE, SMALLEST_SHARE = 0.02, 1e-6
# What a split that helps one child only counts for.
ONE_SIDED = 1e-6


def choose_split(
    engine: Engine, history: History, rows: Rows, found: Found, threshold: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """For every row the variable `(n,)` whose children promise most, the value to split it at, and the gain that one pass sees."""
    cost, value = costs(engine, rows, found)
    room = (found.value.double() - threshold).clamp(min=1e-9).to(cost.dtype)[:, None, None]
    floor = torch.zeros_like(cost)
    if rows.inputs:
        of_inputs = cost[:, -rows.inputs :].clamp(min=0)
        floor[:, -rows.inputs :] = INPUT_FLOOR * of_inputs / of_inputs.amax(dim=1, keepdim=True).clamp(min=1e-30)

    def promise(variables: Tensor, gains: Tensor) -> Tensor:
        expected = torch.minimum(history.expected(rows, variables, gains), room) / room
        expected = torch.maximum(expected, floor.gather(1, variables)[..., None])
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


def costs(engine: Engine, rows: Rows, found: Found) -> tuple[Tensor, Tensor]:
    """What the relaxation gives away at every variable, -1 where it cannot be split, and where to split it; `(n, variables)`.

    A ReLU: its coefficient times its intercept. A difference of the lower confidence: how far the chord of its exponential is above it, in
    units of that confidence. An LSE: how far the sigmoid's line is above it. All at the relaxation's own point. An input: its share
    of all of these.
    """
    neurons = rows.neurons(found.slopes.dtype)
    relus = (found.outputs.abs() * neurons.intercept).masked_fill(~neurons.unstable, -1.0)
    boxes = rows.boxes(found.slopes.dtype)
    sides = [_head_costs(boxes, found, side, rows.is_label) for side in range(2)]
    pairs = [torch.cat(in_order(up, down, rows.sign), dim=1) for up, down in zip(*sides, strict=True)]
    differences, difference_values, lses, lse_values = pairs
    if 0 < rows.inputs <= FEW_INPUTS:
        differences, lses = torch.full_like(differences, -1.0), torch.full_like(lses, -1.0)
    own = torch.cat((relus, differences, lses), dim=1)
    values = torch.cat((torch.zeros_like(relus), difference_values, lse_values), dim=1)
    if rows.inputs == 0:
        return own, values
    low, high = rows.lower[:, -rows.inputs :], rows.upper[:, -rows.inputs :]
    return torch.cat((own, input_costs(engine, rows, found, own)), dim=1), torch.cat((values, (low + high) / 2), dim=1)


def input_costs(engine: Engine, rows: Rows, found: Found, own: Tensor) -> Tensor:
    """What is given away at every input, `(n, inputs)`: each variable's cost `own` falls on the inputs by how much they move it.

    How much an input moves a neuron over the row's box: its half width times the neuron's coefficients with every ReLU at its upper line's
    slope; an LSE moves with the differences, by their weights in it. A small part falls on the inputs by their widths alone.
    """
    boxes = engine.inputs.of(rows)
    half, neurons = boxes.radius[boxes.index], rows.neurons(own.dtype)
    moved, logits = [own.new_zeros((len(rows), 0, rows.inputs))], []
    for network, places in zip(engine.quick.networks, engine.quick.places, strict=True):
        moves = network.weights[0] * half[:, None]
        for place, weight in zip(places, network.weights[1:], strict=True):
            moved.append(moves)
            moves = weight @ (moves * neurons.above[:, place, None])
        logits.append(moves - moves.gather(1, rows.label[:, None, None].expand(-1, 1, rows.inputs)))
    up, down = (d.masked_fill(rows.is_label, -torch.inf).softmax(dim=1) for d in found.differences)
    weights = in_order(up, down, rows.sign)
    lses = [(weight[..., None] * moves).sum(dim=1, keepdim=True) for weight, moves in zip(weights, logits, strict=True)]
    size = torch.cat((*moved, *logits, *lses), dim=1).abs()
    share = size / size.sum(dim=2, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
    cost = (own.clamp(min=0)[..., None] * share).sum(dim=1)
    cost = cost + WIDTH_SHARE * cost.sum(dim=1, keepdim=True) * half / half.sum(dim=1, keepdim=True)
    splittable = rows.upper[:, -rows.inputs :] - rows.lower[:, -rows.inputs :] > SMALLEST_SHARE
    return torch.where(splittable & (half > 0), cost, -1.0)


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
    return differences, inner(at, low, high), lse[:, None], steep(r, r_low, r_high)[:, None]


def split(rows: Rows, variable: Tensor, value: Tensor) -> tuple[Rows, Rows]:
    """The children with the variable at most and at least the value."""
    where = variable[:, None]
    value = value[:, None].to(rows.lower.dtype)
    upper = rows.upper.scatter(1, where, torch.minimum(rows.upper.gather(1, where), value))
    lower = rows.lower.scatter(1, where, torch.maximum(rows.lower.gather(1, where), value))
    return rows.boxed(rows.lower, upper), rows.boxed(lower, rows.upper)


def narrow(rows: Rows, threshold: Tensor) -> tuple[Rows, Tensor]:
    """Boxes cut to where the query can exceed `threshold` `(n,)` float64, and which rows are empty then.

    A bound of the cut rows is one of the rows after a maximum with the threshold. Uses `p_up > threshold + p_down`, `d_j <= LSE(d)` and
    `exp(d_j) >= exp(LSE(d)) - sum of the others`.
    """
    n, classes = len(rows), rows.classes
    low, high = rows.lower[:, rows.head].double(), rows.upper[:, rows.head].double()
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
    lower, upper = rows.lower.clone(), rows.upper.clone()
    lower[:, rows.head] = torch.maximum(low, lower[:, rows.head])
    upper[:, rows.head] = torch.minimum(high, upper[:, rows.head])
    empty = hopeless | (lower > upper).any(dim=1)
    return rows.boxed(lower, upper), empty


def inherited(parent: Rows, child: Rows, slopes: Tensor) -> Tensor:
    """A parent's slopes for its child: where a neuron is no longer unstable, its number is a multiplier, and starts at 0."""
    before, after = parent.neurons(slopes.dtype).unstable, child.neurons(slopes.dtype).unstable
    return torch.where(before & ~after, 0.0, slopes)


def inner(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`value` moved away from the ends of `[low, high]`."""
    margin = SMALLEST_PART * (high - low)
    return torch.minimum(torch.maximum(value, low + margin), high - margin)


def steep(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where to split an LSE: at an end of the sigmoid's steep part that is well inside, the nearer one, else as any box."""
    ends = torch.tensor([-STEEP, STEEP], dtype=value.dtype, device=value.device)
    inside = (ends > low[:, None] + STEEP / 4) & (ends < high[:, None] - STEEP / 4)
    wide = high - low > 4 * STEEP
    nearest = (value[:, None] - ends).abs().masked_fill(~inside, torch.inf).argmin(dim=1)
    return torch.where(wide & inside.any(dim=1), ends[nearest], inner(value, low, high))


def log_odds(p: Tensor) -> Tensor:
    """`log(p / (1 - p))`, infinite from 1 on, kept away from 0 where it would lose its precision."""
    p = p.clamp(min=1e-6)
    return torch.where(p < 1, torch.log(p / (1 - p).clamp(min=1e-300)), torch.inf)
