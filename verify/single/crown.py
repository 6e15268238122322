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
from verify.passes.ground import Ground
from verify.passes.objective import Fixed
from verify.passes.optimise import Schedule
from verify.passes.stack import Stack
from verify.region import Region, dot
from verify.rounding import addends, least, pass_errors, proved
from verify.single.interval import affine_interval
from verify.single.layers import LayerBounds

# The search for slopes.
SLOPES = Schedule(steps=20, slopes=0.3, multipliers=0.0, decay=0.95)


def crown_bounds(network: Network, region: Region) -> LayerBounds:
    """CROWN bounds of every layer's pre-activations, each layer relaxed with the CROWN bounds of those before it."""
    bounds = LayerBounds((), ()).and_layer(*affine_interval(network.layers[0], region.lower, region.upper))
    for k in range(1, network.depth):
        identity = torch.eye(network.layers[k].outputs, dtype=network.dtype, device=network.device)
        bounds = bounds.and_layer(*crown_rows(network.upto(k), region, bounds, identity))
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
        if k + 1 < network.depth:
            image, neuron = bounds.loose(k)
        else:
            image, neuron = torch.ones_like(bounds.lower[k], dtype=torch.bool).nonzero(as_tuple=True)
        if len(image):
            one = torch.nn.functional.one_hot(neuron, network.layers[k].outputs).to(network.dtype)
            found = optimised_forms(network.upto(k), region, bounds, image.repeat(2), torch.cat((one, -one)))
            bounds = bounds.tightened(k, (image, neuron), -found[len(image) :], found[: len(image)])
    return bounds


def optimised_rows(network: Network, region: Region, bounds: LayerBounds, rows: Tensor) -> Tensor:
    """Upper bounds `(n, r)` of `rows @ outputs`, rows `(r, C)` or `(n, r, C)`, with slopes optimised for each row.

    Never above the bound of the adaptive slopes.
    """
    adaptive = upper_bound(network, region, bounds, rows)
    rows = rows.expand(len(region), *rows.shape[-2:])
    image = torch.arange(len(region), device=rows.device).repeat_interleave(rows.shape[1])
    return least(adaptive, optimised_forms(network, region, bounds, image, rows.flatten(0, 1)).reshape(adaptive.shape))


def optimised_forms(network: Network, region: Region, bounds: LayerBounds, image: Tensor, forms: Tensor) -> Tensor:
    """Upper bounds `(m,)` of forms `(m, C)` of the outputs over the regions `image` `(m,)`, slopes optimised for each; outward.

    The search for slopes ends with one rigorous pass.
    """
    top = network.depth - 1
    sides = (side[:top] for side in (bounds.lower, bounds.upper))
    lower, upper = (torch.cat((region.lower[:, :0], *side), dim=1)[image] for side in sides)
    errors = pass_errors(network.layers, bounds.magnitudes(network, region), addends((network,)))
    engine = Engine((network,), PassErrors.of((errors,)))
    ground = Ground.of(engine.exact, region, engine.quick.dtype).rows(image)
    task = Task(image, ground, lower, upper, lambda dtype: Fixed((forms.to(dtype),)))
    start = engine.exact.neurons(lower, upper).start(lower, upper).to(engine.quick.dtype)
    found = engine.search(task, start, start[:, :0], SLOPES)
    return engine.prove(task, found.numbers, found.free)
