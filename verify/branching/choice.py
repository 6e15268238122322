"""What a node is split on, and its children (docs/branching.md, "Splits").

Hidden neurons, the measure's quantities and inputs are the entries of one vector of variables with a box, so that every split is the
same: one entry, one value, and two children with the box below and above it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.branching.pseudo_costs import PseudoCosts
from verify.joint.bound import JointBound
from verify.measures.subproblem import Subproblems
from verify.passes.bound import Found

# Splits that are tried by a pass through their children; what one pass misses of a split that is no neuron's, as a part of its cost.
SHORTLIST = 8
MISSED_SHARE = 0.5
# What a split that helps one child only counts for.
ONE_SIDED = 1e-6
# Up to so many inputs, smaller boxes of inputs shrink the measure's quantities faster than splitting them does.
FEW_INPUTS = 12
# What the costliest input promises at least, as a part of what there is to gain: where every bound is far too large, no split gains on
# both sides, and only smaller boxes of inputs help.
INPUT_FLOOR = 0.02
# The part of all costs that falls on the inputs by their widths alone, and the smallest share of a region that is split.
WIDTH_SHARE, SMALLEST_SHARE = 0.02, 1e-6


class Choice:
    """Chooses splits by their promise: the product of what both children are expected to gain."""

    def __init__(self, joint: JointBound, history: PseudoCosts) -> None:
        self._joint, self._history = joint, history

    def __call__(self, subproblems: Subproblems, found: Found, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For each the variable `(n,)` whose children promise most, the value to split it at, and the gain that one pass sees; and whether
        its relaxation gives something away, so that a split can help at all."""
        cost, value = costs(self._joint, subproblems, found)
        layout = subproblems.layout
        room = (found.value.double() - level).clamp(min=1e-9).to(cost.dtype)[:, None, None]
        floor = torch.zeros_like(cost)
        if layout.inputs:
            of_inputs = cost[:, layout.shares].clamp(min=0)
            floor[:, layout.shares] = INPUT_FLOOR * of_inputs / of_inputs.amax(dim=1, keepdim=True).clamp(min=1e-30)

        def promise(variables: Tensor, gains: Tensor) -> Tensor:
            expected = torch.minimum(self._history.expected(subproblems, variables, gains), room) / room
            expected = torch.maximum(expected, floor.gather(1, variables)[..., None])
            return (expected + ONE_SIDED).prod(dim=2).masked_fill(cost.gather(1, variables) < 0, -1.0)

        every = torch.arange(cost.shape[1], device=cost.device).expand(len(subproblems), -1)
        short = promise(every, cost[..., None].clamp(min=0)).topk(min(SHORTLIST, cost.shape[1]), dim=1).indices
        gains = self._glances(subproblems, found, level, (short, value.gather(1, short)))
        no_neuron = (short >= layout.width)[..., None]
        gains = torch.where(no_neuron, torch.maximum(gains, MISSED_SHARE * cost.gather(1, short)[..., None]), gains)
        best = promise(short, gains).argmax(dim=1, keepdim=True)
        variable = short.gather(1, best)
        gain = gains.mean(dim=2).gather(1, best)
        return variable[:, 0], value.gather(1, variable)[:, 0], gain[:, 0], (cost > 0).any(dim=1)

    def _glances(self, subproblems: Subproblems, found: Found, level: Tensor, splits: tuple[Tensor, Tensor]) -> Tensor:
        """What one pass through each child says that the splits (variables and values `(n, k)`) gain below and above, `(n, k, 2)`."""
        variables, values = splits
        n, count = variables.shape
        width = subproblems.layout.width
        parent = torch.arange(n, device=variables.device).repeat_interleave(count)
        variable, room = variables.flatten(), (found.value.double() - level).clamp(min=0)[parent]
        # A neuron's number is a multiplier in its children, and starts at 0; what follows for the measure's quantities is told by a
        # split that is no neuron's only.
        numbers = torch.cat((found.numbers, found.numbers.new_zeros((n, 1))), dim=1)[parent]
        numbers = numbers.scatter(1, variable.clamp(max=width)[:, None], 0.0)[:, :width]
        no_neuron = (variable >= width).nonzero()[:, 0]
        gains = []
        for child in split(subproblems[parent], variable, values.flatten()):
            empty = torch.zeros_like(parent, dtype=torch.bool)
            if len(no_neuron):
                some, hopeless = self._joint.measure.narrow(child[no_neuron], level[parent[no_neuron]])
                empty[no_neuron] = hopeless | some.empty
                child.lower[no_neuron], child.upper[no_neuron] = some.lower, some.upper
            gain = found.value[parent].double() - self._joint.glance(child, numbers, found.free[parent]).double()
            gain = torch.where(empty, room, torch.minimum(gain, room)).nan_to_num(0, 0, 0).clamp(min=0)
            gains.append(gain.to(found.value.dtype).reshape(n, count))
        return torch.stack(gains, dim=2)


def costs(joint: JointBound, subproblems: Subproblems, found: Found) -> tuple[Tensor, Tensor]:
    """What the relaxation gives away at every variable, -1 where it cannot be split, and where to split it; `(n, variables)`.

    A neuron: its coefficient times its intercept. The measure's quantities: what the measure says. An input: its share of all of these.
    All at the relaxation's own point.
    """
    low, high = (side[:, subproblems.layout.neurons] for side in (subproblems.lower, subproblems.upper))
    neurons = joint.engine.quick.neurons(low, high)
    own = (found.outputs.abs() * neurons.intercept).masked_fill(~neurons.loose, -1.0)
    quantities, values = joint.measure.costs(subproblems, found)
    if 0 < subproblems.layout.inputs <= FEW_INPUTS:
        quantities = torch.full_like(quantities, -1.0)
    cost, value = torch.cat((own, quantities), dim=1), torch.cat((torch.zeros_like(own), values), dim=1)
    if not subproblems.layout.inputs:
        return cost, value
    shares = subproblems.layout.shares
    middle = (subproblems.lower[:, shares] + subproblems.upper[:, shares]) / 2
    of_inputs = input_costs(joint, subproblems, found, cost)
    return torch.cat((cost, of_inputs), dim=1), torch.cat((value, middle), dim=1)


def input_costs(joint: JointBound, subproblems: Subproblems, found: Found, cost: Tensor) -> Tensor:
    """What is given away at every input, `(n, inputs)`: each variable's cost falls on the inputs by how much they move it.

    How much an input moves a neuron over its box: its half width times the neuron's coefficients with every neuron below at its upper
    line's slope. A small part falls on the inputs by their widths alone.
    """
    ground, layout, stack = joint.ground(subproblems), subproblems.layout, joint.engine.quick
    half = ground.half[ground.index]
    above = stack.neurons(subproblems.lower[:, layout.neurons], subproblems.upper[:, layout.neurons]).above
    moved, outputs = [cost.new_zeros((len(subproblems), 0, layout.inputs))], []
    for network, places in zip(stack.networks, stack.places, strict=True):
        # One column of inputs at a time is a point of its own.
        moves = network.layers[0].linear(torch.diag_embed(half))
        for place, layer in zip(places, network.layers[1:], strict=True):
            moved.append(moves.transpose(1, 2))
            moves = layer.linear(moves * above[:, None, place])
        outputs.append(moves.transpose(1, 2))
    moved.append(joint.measure.moves(subproblems, found, (outputs[0], outputs[1])))
    size = torch.cat(moved, dim=1).abs()
    share = size / size.sum(dim=2, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
    own = (cost.clamp(min=0)[..., None] * share).sum(dim=1)
    own = own + WIDTH_SHARE * own.sum(dim=1, keepdim=True) * half / half.sum(dim=1, keepdim=True)
    width = subproblems.upper[:, layout.shares] - subproblems.lower[:, layout.shares]
    return torch.where((width > SMALLEST_SHARE) & (half > 0), own, -1.0)


def split(subproblems: Subproblems, variable: Tensor, value: Tensor) -> tuple[Subproblems, Subproblems]:
    """The children with the variable at most and at least the value."""
    where = variable[:, None]
    value = value[:, None].to(subproblems.lower.dtype)
    upper = subproblems.upper.scatter(1, where, torch.minimum(subproblems.upper.gather(1, where), value))
    lower = subproblems.lower.scatter(1, where, torch.maximum(subproblems.lower.gather(1, where), value))
    return subproblems.boxed(subproblems.lower, upper), subproblems.boxed(lower, subproblems.upper)
