"""Backward linear bounds of one network (CROWN, Zhang et al. 2018), and their optimised slopes (alpha-CROWN, Xu et al. 2021).

A row `a . z` of pre-activations is bounded from above by sending its coefficients back through the layers: a loose neuron gets the line
above where its coefficient is positive and the line below where it is negative. The bound at the input is a linear function; its
largest value is at a corner of the region. A lower bound is minus the upper bound of the negated row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from verify.network.graph import Network
from verify.passes.bound import Engine, PassErrors, Task, lost
from verify.passes.objective import Fixed
from verify.passes.optimise import Schedule
from verify.passes.stack import Stack
from verify.region import Region, dot
from verify.rounding import addends, least, pass_errors, proved
from verify.single.interval import affine_interval, layer_inputs
from verify.single.layers import LayerBounds

# The search for slopes.
SLOPES = Schedule(steps=20, slopes=0.3, multipliers=0.0, decay=0.95)


def crown_bounds(network: Network, region: Region, *, whole: bool = False) -> LayerBounds:
    """CROWN bounds of every layer's pre-activations, each layer relaxed with the bounds of those before it.

    Hidden neurons that intervals, from the layers before, show to be on one side of zero keep those: their lines are the same, whatever
    else is known of them. whole: bound them too.
    """
    bounds = LayerBounds((), ())
    for k, layer in enumerate(network.layers):
        bounds = bounds.and_layer(*affine_interval(layer, *layer_inputs(network, bounds, region)))
        if k:
            bounds = _anew(network, region, bounds, k, None, whole=whole)
    return bounds


def crown_rows(network: Network, region: Region, bounds: LayerBounds, rows: Tensor) -> tuple[Tensor, Tensor]:
    """CROWN bounds `(n, r)` of `rows @ outputs`; rows `(r, C)` or `(n, r, C)`; bounds: of the layers before the last at least."""
    upper = upper_bound(network, region, bounds, torch.cat((rows, -rows), dim=-2))
    count = rows.shape[-2]
    return -upper[:, count:], upper[:, :count]


def upper_bound(network: Network, region: Region, bounds: LayerBounds, rows: Tensor) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ outputs` over the region, rounded outward; infinite where something overflowed."""
    return CrownPass(network, region, bounds).upper_bound(rows)


class CrownPass:
    """The backward passes of one network over regions, each of which shares its lines with all rows."""

    def __init__(self, network: Network, region: Region, bounds: LayerBounds) -> None:
        self._stack, self._region = Stack((network,)), region
        top = network.depth - 1
        sides = (side[:top] for side in (bounds.lower, bounds.upper))
        none = region.lower[:, :0]
        self._lower, self._upper = (torch.cat((none, *side), dim=1) for side in sides)
        errors = pass_errors(network.layers, bounds.magnitudes(network, region), self._stack.terms)
        self._hidden, self._result = torch.cat((none, *errors[:-1]), dim=1)[:, None], errors[-1][:, None]
        self._firsts = self._stack.firsts(region.middle)[0][:, None]

    def upper_bound(self, rows: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Upper bounds `(n, r)` of rows `(r, C)` or `(n, r, C)`; numbers `(n, r, width)` of the neurons, the adaptive ones unless given."""
        stack = self._stack
        neurons = stack.neurons(self._lower[:, None], self._upper[:, None])
        if numbers is None:
            numbers = neurons.start(self._lower[:, None], self._upper[:, None])
        lines = neurons.lines(neurons.allowed(numbers))
        form = rows.expand(len(self._region), *rows.shape[-2:])
        descent = stack.send_back(lines, (form,))
        value = stack.constant(lines, descent, (form,)) + dot(descent.firsts[0], self._firsts)
        error = dot(descent.inputs.abs(), self._hidden) + dot(form.abs(), self._result) + lost(stack, lines, descent)
        return proved(value + self._region.reach(stack.at_input(descent)) + error)


def optimised_bounds(network: Network, region: Region, bounds: LayerBounds) -> LayerBounds:
    """Bounds of every layer, never wider than `bounds`, with slopes optimised for each loose neuron, layer after layer."""
    for k in range(1, network.depth):
        bounds = _anew(network, region, bounds, k, SLOPES)
    return bounds


def _anew(
    network: Network, region: Region, bounds: LayerBounds, k: int, schedule: Schedule | None, *, whole: bool = False
) -> LayerBounds:
    """The same with layer k's loose neurons, or every logit, bounded by passes of their own."""
    if whole or k + 1 == network.depth:
        image, neuron = torch.ones_like(bounds.lower[k], dtype=torch.bool).nonzero(as_tuple=True)
    else:
        image, neuron = bounds.loose(k)
    if len(image) == 0:
        return bounds
    one = torch.nn.functional.one_hot(neuron, network.layers[k].outputs).to(network.dtype)
    if schedule is None:
        # Those of an image side by side, so that they share its lines.
        place = torch.arange(len(image), device=image.device) - torch.searchsorted(image, image)
        rows = one.new_zeros((len(region), int(place.max()) + 1, one.shape[1]))
        rows[image, place] = one
        lower, upper = (side[image, place] for side in crown_rows(network.upto(k), region, bounds, rows))
        return bounds.put(k, (image, neuron), lower, upper)
    both = torch.cat((one, -one))
    found = bounds_of_forms(network.upto(k), region, bounds, image.repeat(2), both, schedule)
    return bounds.tightened(k, (image, neuron), -found[len(image) :], found[: len(image)])


def optimised_rows(network: Network, region: Region, bounds: LayerBounds, rows: Tensor) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ outputs`, rows `(r, C)` or `(n, r, C)`, with slopes optimised for each row.

    Never above the bound of the adaptive slopes.
    """
    adaptive = upper_bound(network, region, bounds, rows)
    rows = rows.expand(len(region), *rows.shape[-2:])
    image = torch.arange(len(region), device=rows.device).repeat_interleave(rows.shape[1])
    return least(
        adaptive, bounds_of_forms(network, region, bounds, image, rows.flatten(0, 1), SLOPES).reshape(adaptive.shape)
    )


def bounds_of_forms(
    network: Network, region: Region, bounds: LayerBounds, image: Tensor, forms: Tensor, schedule: Schedule
) -> Tensor:
    """Upper bounds `(m,)` of forms `(m, C)` of the outputs over the regions `image` `(m,)`, rounded outward.

    schedule: of the search for each form's own slopes, which ends with one rigorous pass.
    """
    top = network.depth - 1
    sides = (side[:top] for side in (bounds.lower, bounds.upper))
    lower, upper = (torch.cat((region.lower[:, :0], *side), dim=1)[image] for side in sides)
    errors = pass_errors(network.layers, bounds.magnitudes(network, region), addends((network,)))
    engine = Engine((network,), PassErrors.of((errors,)))
    task = Task(image, engine.ground(region).rows(image), lower, upper, lambda dtype: Fixed((forms.to(dtype),)))
    numbers = engine.exact.neurons(lower, upper).start(lower, upper)
    found = engine.search(task, numbers.to(engine.dtype), numbers[:, :0].to(engine.dtype), schedule)
    return engine.prove(task, found.numbers, found.free)
