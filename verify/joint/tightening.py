"""Narrower boxes for one subproblem: every bound is sought only where the query can still exceed its level (docs/branching.md).

A subproblem's linear bound `L(x) >= the query's value` is also a cut: inputs with `L(x) < level` are of no interest. So a neuron's
pre-activation is bounded over `{x in the box : L(x) >= level}`: with its own linear bound `c . x + c_0` and a multiplier mu >= 0,

    c_0 + max over the box of c . x + mu (L(x) - level),

convex in mu; any mu is sound, a few steps towards the zero of the slope give a good one. Layer after layer, teacher's and student's,
and then the measure's own forms. A first pass in float32 tells which bounds are worth a proof in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.joint.bound import JointBound
from verify.measures.subproblem import Subproblems
from verify.passes.bound import Cut, lost
from verify.passes.native.constants import EVALUATIONS, SAMPLE
from verify.passes.native.library import fits
from verify.passes.native.tighten import Tightener
from verify.passes.stack import Stack
from verify.region import dot, reach
from verify.rounding import least, level_error, most, outward, proved, share_within

# The part of its box that a bound must gain to be proved.
WORTH = 0.005
# Bounds that are sought at once: their coefficients stay in the processor's cache.
BATCH = 640


class Tightening:
    """Cuts the boxes of subproblems, by the compiled loop where there is one for the measure."""

    def __init__(self, joint: JointBound) -> None:
        self._joint = joint
        stack = joint.engine.exact
        self._order = mixed(joint.region.lower.shape[1]).to(joint.region.lower.device)
        self._tightener = Tightener(stack, joint.engine.errors, self._order) if fits(stack) else None

    def __call__(self, subproblems: Subproblems, cut: Cut, level: Tensor) -> Subproblems:
        """The subproblems with the boxes of their inputs, loose neurons and the measure's own forms cut, rounded outward; level `(n,)`."""
        if subproblems.layout.inputs:
            subproblems = narrow_inputs(self._joint, subproblems, cut, level)
        label, sought = self._joint.measure.label(subproblems.query), self._joint.measure.sought(subproblems)
        if self._tightener is not None and (label is not None or not sought):
            ground = self._joint.ground(subproblems)
            return subproblems.boxed(*self._tightener.tighten(subproblems, label, ground, cut, level))
        work = Work(self._joint, subproblems, cut, level, self._order)
        for k, places in enumerate(self._joint.engine.exact.places):
            for layer, place in enumerate(places):
                work.narrow_neurons(k, layer, place)
            if sought:
                work.narrow(k, len(places), sought[k].row, sought[k].column, sought[k].forms)
        return work.subproblems


def narrow_inputs(joint: JointBound, subproblems: Subproblems, cut: Cut, level: Tensor) -> Subproblems:
    """The subproblems with their boxes of inputs cut to where the cut can be at least `level` `(n,)`.

    The cut falls by its coefficient with every step from its corner, so it is below the level beyond a distance from it.
    """
    region, shares = joint.region[subproblems.image], subproblems.layout.shares
    distance = (cut.largest() - level).clamp(min=0)[:, None] / cut.coefficients.abs()
    share = share_within(region.lower, region.upper, distance)
    low, high = subproblems.lower[:, shares], subproblems.upper[:, shares]
    nearest = outward(high - share, upper=False), outward(low + share, upper=True)
    lower = torch.where(cut.coefficients > 0, most(low, nearest[0]), low)
    return subproblems.narrowed(shares, lower, torch.where(cut.coefficients < 0, least(high, nearest[1]), high))


def mixed(inputs: int) -> Tensor:
    """An order of the inputs in which the first of them stand for all."""
    return (torch.arange(inputs) * 2654435761 % 2**32).argsort()


@dataclass(frozen=True)
class Linear:
    """Linear bounds `(m, d)` of forms of the subproblems `(m,)`: coefficients, the value at the middle and its rounding error."""

    coefficients: Tensor
    value: Tensor
    error: Tensor


class Work:
    """The boxes of some subproblems while they are narrowed, in place, by tensor code."""

    def __init__(self, joint: JointBound, subproblems: Subproblems, cut: Cut, level: Tensor, order: Tensor) -> None:
        self._joint, self._cut, self._level, self._order = joint, cut, level, order
        self.subproblems = subproblems.boxed(subproblems.lower.clone(), subproblems.upper.clone())
        self._ground = ground = joint.ground(subproblems)
        self._middle, self._half = (side[ground.index] for side in (ground.region.middle, ground.region.half))
        self._quick_half = self._half.float()[:, order]
        self._weighted = cut.coefficients.float()[:, order] * self._quick_half
        self._reach = self._weighted[:, :SAMPLE].abs().sum(dim=1)
        self._offset = dot(cut.coefficients, self._middle) + cut.constant - level

    def narrow_neurons(self, k: int, layer: int, place: slice) -> None:
        """Bound network k's loose neurons of a hidden layer from both sides."""
        low, high = self.subproblems.lower[:, place], self.subproblems.upper[:, place]
        row, neuron = ((low < 0) & (high > 0)).nonzero(as_tuple=True)
        outputs = self._joint.engine.exact.networks[k].layers[layer].outputs
        self.narrow(k, layer, row, neuron + place.start, torch.nn.functional.one_hot(neuron, outputs))

    def narrow(self, k: int, layer: int, row: Tensor, column: Tensor, forms: Tensor) -> None:
        """Bound forms `(m, outputs)` of network k's layer, kept in columns `(m,)` of the subproblems `(m,)`, from both sides."""
        for part in torch.split(torch.arange(len(row), device=row.device), BATCH // 2):
            both = forms[part].repeat(2, 1)
            both[len(part) :] *= -1
            self._narrow((k, layer), row[part].repeat(2), column[part].repeat(2), both)

    def _narrow(self, where: tuple[int, int], row: Tensor, column: Tensor, forms: Tensor) -> None:
        lower, upper = self.subproblems.lower, self.subproblems.upper
        rising = torch.arange(len(row), device=row.device) < len(row) // 2
        mu, value = self._multipliers(self._linear(torch.float32, where, row, forms), row)
        low, high = lower[row, column], upper[row, column]
        now = torch.where(rising, high, -low)
        worth = (now - value > WORTH * (high - low)) & (high > low)
        row, column, rising, mu = row[worth], column[worth], rising[worth], mu[worth].double()
        if len(row) == 0:
            return
        bound = self._proved(self._linear(torch.float64, where, row, forms[worth]), row, mu)
        here = (row[rising], column[rising])
        upper[here] = torch.minimum(upper[here], outward(bound[rising], upper=True))
        here = (row[~rising], column[~rising])
        lower[here] = torch.maximum(lower[here], outward(-bound[~rising], upper=False))

    def _linear(self, dtype: torch.dtype, where: tuple[int, int], row: Tensor, forms: Tensor) -> Linear:
        """Linear functions of the input at least the forms, by the adaptive lines; in float32 with the inputs in mixed order."""
        k, layer = where
        engine, exact = self._joint.engine, dtype == torch.float64
        stack = Stack(((engine.exact if exact else engine.quick).networks[k].upto(layer),))
        places = engine.exact.places[k][:layer]
        below = slice(places[0].start, places[-1].stop) if places else slice(0, 0)
        low, high = (side[:, below].to(dtype) for side in (self.subproblems.lower, self.subproblems.upper))
        neurons = stack.neurons(low, high)
        lines = neurons.lines(neurons.start(low, high)).of_rows(row)
        form = (forms.to(dtype),)
        descent = stack.send_back(lines, form)
        middle = self._ground.firsts[k].to(dtype)[self._ground.index[row]]
        value = stack.constant(lines, descent, form) + dot(descent.firsts[0], middle)
        coefficients = stack.at_input(descent)
        if not exact:
            return Linear(coefficients[:, self._order], value, torch.zeros_like(value))
        image, errors = self.subproblems.image[row], engine.errors
        of_layer = (
            errors.hidden[:, engine.exact.places[k][layer]]
            if layer < len(engine.exact.places[k])
            else errors.results[k]
        )
        error = lost(stack, lines, descent) + dot(descent.inputs.abs(), errors.hidden[image][:, below])
        return Linear(coefficients, value, error + dot(form[0].abs(), of_layer[image]))

    def _multipliers(self, linear: Linear, row: Tensor) -> tuple[Tensor, Tensor]:
        """`mu >= 0` `(m,)` near the best by regula falsi on the slope, and the bound that it gives, in float32.

        The slope is estimated on the first SAMPLE of the inputs, which stand in a mixed order; the bound is not.
        """
        a, g, offset = linear.coefficients * self._quick_half[row], self._weighted[row], self._offset.float()[row]
        some, weighted, reach = a[:, :SAMPLE], g[:, :SAMPLE], self._reach[row]
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
        return mu, linear.value + mu * offset + torch.addcmul(a, mu[:, None], g).abs_().sum(dim=1)

    def _proved(self, linear: Linear, row: Tensor, mu: Tensor) -> Tensor:
        """Upper bounds `(m,)` where the cut is at least the level, rounded outward."""
        cut = self._cut[row]
        total = torch.addcmul(linear.coefficients, mu[:, None], cut.coefficients)
        value = linear.value + mu * self._offset[row] + reach(total, self._half[row])
        slack = 2 * cut.error + level_error(cut.constant, self._level[row])
        return proved(value + 2 * linear.error + mu * slack)
