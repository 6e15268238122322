"""Backward linear bounds of one network (CROWN, Zhang et al. 2018), and their optimised slopes (alpha-CROWN, Xu et al. 2021).

A row `a . z` of pre-activations is bounded from above by sending its coefficients back through the layers: a loose neuron gets the line
above where its coefficient is positive and the line below where it is negative. The bound at the input is a linear function; its
largest value is at a corner of the region. A lower bound is minus the upper bound of the negated row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from verify.network.graph import Network
from verify.passes.bound import Engine, PassErrors, Task
from verify.passes.objective import Fixed
from verify.passes.optimise import Schedule
from verify.region import Region
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
    rows = rows.expand(len(region), *rows.shape[-2:])
    image = torch.arange(len(region), device=rows.device).repeat_interleave(rows.shape[1])
    return adaptive_pass(network, region, bounds)(image, rows.flatten(0, 1)).reshape(rows.shape[:2])


def adaptive_pass(network: Network, region: Region, bounds: LayerBounds) -> Callable[[Tensor, Tensor], Tensor]:
    """The function that bounds forms `(m, C)` of the outputs over the regions `image` `(m,)` from above by the adaptive lines.

    Its bounds `(m,)` are rounded outward, infinite where something overflowed.
    """
    engine, lower, upper = _engine(network, region, bounds)
    neurons, ground = engine.exact.neurons(lower, upper), engine.ground(region)
    lines = neurons.lines(neurons.start(lower, upper))

    def bound(image: Tensor, forms: Tensor) -> Tensor:
        point = Fixed((forms,)).at(forms[:, :0])
        value, error = engine.reached(image, ground.rows(image), point.forms, lines, image)
        return proved(value + error + engine.errors.of_results(image, point))

    return bound


def _engine(network: Network, region: Region, bounds: LayerBounds) -> tuple[Engine, Tensor, Tensor]:
    """The engine of one network, and the boxes `(n, width)` of its hidden neurons."""
    top = network.depth - 1
    lower, upper = (torch.cat((region.lower[:, :0], *side[:top]), dim=1) for side in (bounds.lower, bounds.upper))
    errors = pass_errors(network.layers, bounds.magnitudes(network, region), addends((network,)))
    return Engine((network,), PassErrors.of((errors,))), lower, upper


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
    if schedule is None:
        lower, upper = _sides(network.upto(k), region, bounds, (image, neuron), whole=whole or k + 1 == network.depth)
        return bounds.put(k, (image, neuron), lower, upper)
    one = torch.nn.functional.one_hot(neuron, network.layers[k].outputs).to(network.dtype)
    low, high = bounds_of_forms(
        network.upto(k), region, bounds, image.repeat(2), torch.cat((-one, one)), schedule
    ).chunk(2)
    return bounds.tightened(k, (image, neuron), -low, high)


def _sides(
    network: Network, region: Region, bounds: LayerBounds, places: tuple[Tensor, Tensor], *, whole: bool
) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds `(m,)` of outputs at (image, output) `places`; bounds: of the outputs by intervals, too.

    The nearer side of zero comes first. Unless `whole`, an output that this shows to be on one side keeps the other bound.
    """
    image, output = places
    lower, upper = (side[-1][places] for side in (bounds.lower, bounds.upper))
    sign = torch.where(lower + upper < 0, 1.0, -1.0).to(lower.dtype)
    forms = torch.nn.functional.one_hot(output, network.classes).to(lower.dtype) * sign[:, None]
    bound = adaptive_pass(network, region, bounds)
    near = bound(image, forms)
    left = (~(near <= 0) | whole).nonzero()[:, 0]
    far = torch.where(sign > 0, -lower, upper)
    far[left] = bound(image[left], -forms[left])
    return torch.where(sign > 0, -far, -near), torch.where(sign > 0, near, far)


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
    engine, *sides = _engine(network, region, bounds)
    lower, upper = (side[image] for side in sides)
    task = Task(image, engine.ground(region).rows(image), lower, upper, lambda dtype: Fixed((forms.to(dtype),)))
    numbers = engine.exact.neurons(lower, upper).start(lower, upper)
    found = engine.search(task, numbers.to(engine.dtype), numbers[:, :0].to(engine.dtype), schedule)
    return engine.prove(task, found.numbers, found.free)
