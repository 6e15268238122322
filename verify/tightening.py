"""Narrower boxes for one query: every bound is sought only where the query can still exceed its threshold (docs/branching.md).

A row's linear bound `L(x) >= p_up(x) - p_down(x)` is also a cut: inputs with `L(x) < threshold` are of no interest. So a neuron's
pre-activation is bounded over `{x in the box : L(x) >= threshold}`: with its own linear bound `c . x + c_0` and a multiplier mu >= 0,

    c_0 + max over the box of c . x + mu (L(x) - threshold),

convex in mu; any mu is sound, a few steps towards the zero of the slope give a good one. Layer after layer, teacher's and student's,
and then their logit differences. A first pass in float32 tells which bounds are worth a proof in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.engine import Cut, Engine
from verify.native.tighten import Tightener
from verify.pair import Neurons, Pair, dot
from verify.rounding import least, level_error, most, outward, proved, share_within, sum_error
from verify.rows import Rows

# Evaluations of the multiplier's slope, and the part of its box that a bound must gain to be proved.
EVALUATIONS = 5
WORTH = 0.005
# Bounds that are sought at once: their coefficients stay in the processor's cache.
BATCH = 640
# Inputs on which the slope is estimated.
SAMPLE = 256


def tighten(engine: Engine, rows: Rows, cut: Cut, threshold: Tensor) -> Rows:
    """The rows with the boxes of their unstable neurons and differences cut, rounded outward; threshold `(n,)`."""
    if Tightener.fits(engine):
        if engine.tightener is None:
            engine.tightener = Tightener(engine, mixed(cut.coefficients.shape[1]))
        return rows.boxed(*engine.tightener.tighten(rows, cut, threshold))
    rows = rows.boxed(rows.lower.clone(), rows.upper.clone())
    work = Work(engine, rows, cut, threshold)
    offset = rows.width
    for k, places in enumerate(engine.exact.places):
        for layer, place in enumerate(places):
            low, high = rows.lower[:, place], rows.upper[:, place]
            node, neuron = ((low < 0) & (high > 0)).nonzero(as_tuple=True)
            work.narrow(k, layer, node, neuron + place.start)
        node, label = (~rows.is_label).nonzero(as_tuple=True)
        work.narrow(k, len(places), node, label + offset)
        offset += rows.classes
    return rows


def narrow_inputs(engine: Engine, rows: Rows, cut: Cut, threshold: Tensor) -> Rows:
    """The rows with their boxes of inputs cut to where the cut can be at least `threshold` `(n,)`.

    The cut falls by its coefficient with every step from its corner, so it is below the threshold beyond a distance from it.
    """
    lower, upper = engine.inputs.regions(rows)
    reach = (cut.largest() - threshold).clamp(min=0)[:, None] / cut.coefficients.abs()
    share = share_within(lower, upper, reach)
    low, high = rows.lower[:, -rows.inputs :], rows.upper[:, -rows.inputs :]
    nearest = outward(high - share, upper=False), outward(low + share, upper=True)
    narrower = (
        torch.where(cut.coefficients > 0, most(low, nearest[0]), low),
        torch.where(cut.coefficients < 0, least(high, nearest[1]), high),
    )
    kept = slice(0, rows.lower.shape[1] - rows.inputs)
    return rows.boxed(
        *(torch.cat((old[:, kept], new), dim=1) for old, new in zip((rows.lower, rows.upper), narrower, strict=True))
    )


def mixed(inputs: int) -> Tensor:
    """An order of the inputs in which the first of them stand for all."""
    return (torch.arange(inputs) * 2654435761 % 2**32).argsort()


# For each type and layer the upper line's slope and intercept and the lower line's slope, `(n, n_k)` each.
Lines = dict[torch.dtype, list[tuple[Tensor, Tensor, Tensor]]]


@dataclass(frozen=True)
class Sought:
    """Linear bounds `(m, d)` of `sign` times a variable of the nodes `(m,)`: coefficients, constant and its rounding error."""

    coefficients: Tensor
    constant: Tensor
    error: Tensor


class Work:
    """The boxes of some rows while they are narrowed, in place."""

    def __init__(self, engine: Engine, rows: Rows, cut: Cut, threshold: Tensor) -> None:
        self._engine, self._rows, self._cut, self._threshold = engine, rows, cut, threshold
        self._boxes = engine.inputs.of(rows)
        lower, upper = (side[self._boxes.index] for side in (self._boxes.lower, self._boxes.upper))
        self._center, self._radius = (lower + upper) / 2, (upper - lower) / 2
        order = mixed(self._center.shape[1]).to(self._center.device)
        self._mixed_first = [network.weights[0][:, order] for network in engine.quick.networks]
        self._quick_radius = self._radius.float()[:, order]
        self._weighted = cut.coefficients.float()[:, order] * self._quick_radius
        self._reach = self._weighted[:, :SAMPLE].abs().sum(dim=1)
        at_center = (cut.coefficients * self._center).sum(dim=1) + cut.constant - threshold
        self._offset = at_center.float()

    def narrow(self, k: int, layer: int, node: Tensor, column: Tensor) -> None:
        """Bound the variables `column` `(m,)` of the nodes `(m,)`, which belong to network k's layer, from both sides."""
        rows = self._rows
        lines: Lines = {torch.float32: [], torch.float64: []}
        for dtype, own in lines.items():
            for place in self._engine.exact.places[k][:layer]:
                low, high = rows.lower[:, place].to(dtype), rows.upper[:, place].to(dtype)
                neurons = Neurons.of(low, high)
                adaptive = torch.where(neurons.unstable, (high > -low).to(dtype), neurons.above)
                own.append((neurons.above, neurons.intercept, adaptive))
        for part in torch.split(torch.arange(len(node), device=node.device), BATCH // 2):
            self._narrow(k, layer, node[part].repeat(2), column[part].repeat(2), lines)

    def _narrow(self, k: int, layer: int, node: Tensor, column: Tensor, lines: Lines) -> None:
        rows = self._rows
        half = len(node) // 2
        sign = torch.ones_like(node)
        sign[half:] = -1
        sought = self._send_back(self._engine.quick, k, layer, node, column, sign, lines)
        mu, value = self._multipliers(sought, node)
        low, high = rows.lower[node, column], rows.upper[node, column]
        now = torch.where(sign > 0, high, -low)
        worth = (now - value > WORTH * (high - low)) & (high > low)
        node, column, sign, mu = node[worth], column[worth], sign[worth], mu[worth].double()
        if len(node) == 0:
            return
        sought = self._send_back(self._engine.exact, k, layer, node, column, sign, lines)
        bound = self._proved(sought, node, mu)
        over = sign > 0
        here = (node[over], column[over])
        rows.upper[here] = torch.minimum(rows.upper[here], outward(bound[over], upper=True))
        here = (node[~over], column[~over])
        rows.lower[here] = torch.maximum(rows.lower[here], outward(-bound[~over], upper=False))

    def _send_back(
        self, pair: Pair, k: int, layer: int, node: Tensor, column: Tensor, sign: Tensor, lines: Lines
    ) -> Sought:
        """Linear functions of the input at least `sign` times the variables, in the pair's type."""
        network, places, rows = pair.networks[k], pair.places[k], self._rows
        dtype = pair.first.dtype
        if layer < len(places):
            a = torch.nn.functional.one_hot(column - places[layer].start, len(network.biases[layer])).to(dtype)
        else:
            a = torch.nn.functional.one_hot(column - rows.width - k * rows.classes, rows.classes).to(dtype)
            a = a - rows.is_label[node].to(dtype)
        a = a * sign[:, None]
        constant, error = self._constant(pair, k, layer, node, a), self._errors(k, layer, node, a)
        a = a @ self._weights(pair, k, layer)
        for below in range(layer - 1, -1, -1):
            above, intercept, adaptive = (t[node] for t in lines[dtype][below])
            rising = a.clamp(min=0)
            lift = dot(rising, intercept)
            a = torch.addcmul(rising * above, a.clamp(max=0), adaptive)
            constant = constant + lift + self._constant(pair, k, below, node, a)
            error = error + self._errors(k, below, node, a) + sum_error(lift, self._engine.exact.terms)
            a = a @ self._weights(pair, k, below)
        return Sought(a, constant, error)

    def _weights(self, pair: Pair, k: int, layer: int) -> Tensor:
        """In float32, the first layer's with its inputs in mixed order."""
        if layer == 0 and pair is self._engine.quick:
            return self._mixed_first[k]
        return pair.networks[k].weights[layer]

    def _constant(self, pair: Pair, k: int, layer: int, node: Tensor, a: Tensor) -> Tensor:
        """What the biases add; in float32, for the first layer, with what the center of the region adds."""
        if layer == 0 and pair is self._engine.quick:
            start = k * len(pair.networks[0].biases[0])
            middle = self._boxes.middle[:, start : start + a.shape[1]]
            return dot(a, middle[self._boxes.index[node]])
        return a @ pair.networks[k].biases[layer]

    def _errors(self, k: int, layer: int, node: Tensor, a: Tensor) -> Tensor:
        """The rounding error of sending coefficients `a` of a layer's outputs through its weights; only float64 is proved."""
        if a.dtype != torch.float64:
            return a.new_zeros(len(a))
        places = self._engine.exact.places[k]
        errors = self._engine.hidden_errors[:, places[layer]] if layer < len(places) else self._engine.logit_errors[k]
        return dot(a.abs(), errors[self._rows.image[node]])

    def _multipliers(self, sought: Sought, node: Tensor) -> tuple[Tensor, Tensor]:
        """`mu >= 0` `(m,)` near the best by regula falsi on the slope, and the bound that it gives, in float32.

        The slope is estimated on the first SAMPLE of the inputs, which stand in a mixed order; the bound is not.
        """
        a, g, offset = sought.coefficients.mul_(self._quick_radius[node]), self._weighted[node], self._offset[node]
        some, weighted, reach = a[:, :SAMPLE], g[:, :SAMPLE], self._reach[node]
        share = a.shape[1] / some.shape[1]
        low, high = torch.zeros_like(offset), 4 * some.abs().sum(dim=1) / reach.clamp(min=1e-30)
        at_low = torch.copysign(weighted, some * weighted).sum(dim=1) * share + offset
        at_high = reach * share + offset
        useful = at_low < 0
        for k in range(EVALUATIONS):
            part = 0.1 if k == 0 else (at_low / (at_low - at_high)).clamp(0.1, 0.9)
            middle = low + (high - low) * part
            tilted = torch.addcmul(some, middle[:, None], weighted)
            slope = tilted.sign_().mul_(weighted).sum(dim=1) * share + offset
            falling = slope < 0
            low, high = torch.where(falling, middle, low), torch.where(falling, high, middle)
            at_low, at_high = torch.where(falling, slope, at_low), torch.where(falling, at_high, slope)
        mu = low + (high - low) * (at_low / (at_low - at_high)).clamp(0, 1)
        mu = torch.where(useful, mu, 0.0).nan_to_num(0, 0, 0)
        return mu, sought.constant + mu * offset + torch.addcmul(a, mu[:, None], g).abs_().sum(dim=1)

    def _proved(self, sought: Sought, node: Tensor, mu: Tensor) -> Tensor:
        """Upper bounds `(m,)` where the cut is at least the threshold, rounded outward."""
        cut, threshold = self._cut, self._threshold[node]
        total = torch.addcmul(sought.coefficients, mu[:, None], cut.coefficients[node])
        value = sought.constant + mu * (cut.constant[node] - threshold) + dot(total, self._center[node])
        value = value + dot(total.abs(), self._radius[node])
        slack = 2 * cut.error[node] + level_error(cut.constant[node], threshold)
        return proved(value + 2 * sought.error + mu * slack)
