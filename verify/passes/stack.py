"""Networks side by side on one input: a linear form of all their outputs sent back to the input, and a point sent forth.

The hidden neurons of all networks are the entries of one vector of `width` numbers. Leading axes of all tensors broadcast, so that many
forms may share the lines of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from verify.network.activation import RELU, Lines, Neurons
from verify.network.graph import Network
from verify.region import dot
from verify.rounding import addends

Forms = Sequence[Tensor]


@dataclass(frozen=True)
class Descent:
    """A linear form on its way to the input.

    outputs, inputs `(..., width)`: coefficients of every activation's output and of its input; rising, slopes `(..., width)`: 1 where the
    line above was taken, and the slope of the line taken; firsts: coefficients of each network's first layer's outputs.
    """

    outputs: Tensor
    inputs: Tensor
    rising: Tensor
    slopes: Tensor
    firsts: tuple[Tensor, ...]


@dataclass(frozen=True)
class Stack:
    """Networks of one type that read the same input."""

    networks: tuple[Network, ...]

    @classmethod
    def of(cls, networks: Sequence[Network], dtype: torch.dtype) -> Stack:
        """The networks, converted to `dtype`."""
        return cls(tuple(network.to(dtype=dtype) for network in networks))

    @cached_property
    def places(self) -> tuple[tuple[slice, ...], ...]:
        """Every hidden layer's slice of the vector of neurons, network after network."""
        places, start = [], 0
        for network in self.networks:
            mine = []
            for layer in network.layers[:-1]:
                mine.append(slice(start, start + layer.outputs))
                start += layer.outputs
            places.append(tuple(mine))
        return tuple(places)

    @cached_property
    def width(self) -> int:
        """Number of hidden neurons of all networks."""
        return sum(layer.outputs for network in self.networks for layer in network.layers[:-1])

    @cached_property
    def terms(self) -> int:
        """Addends of a sum over all of the networks, for its rounding error."""
        return addends(self.networks)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the layers."""
        return self.networks[0].dtype

    @property
    def is_dense(self) -> bool:
        """Whether the compiled loops take it."""
        return all(network.is_dense for network in self.networks)

    @cached_property
    def _later_biases(self) -> Tensor:
        """`(width,)`: of all hidden layers, the first ones' set to 0: they are in the first layers' values at the middle."""
        none = self.networks[0].layers[0].bias.new_zeros(0)
        hidden = [
            layer.bias if k else torch.zeros_like(layer.bias)
            for network in self.networks
            for k, layer in enumerate(network.layers[:-1])
        ]
        return torch.cat((none, *hidden))

    def neurons(self, lower: Tensor, upper: Tensor) -> Neurons:
        """What is known of every hidden neuron over its box `(..., width)`."""
        kinds = {activation for network in self.networks for activation in network.activations} or {RELU}
        if len(kinds) == 1:
            return kinds.pop().neurons(lower, upper)
        places = [place for own in self.places for place in own]
        activations = [activation for network in self.networks for activation in network.activations]
        parts = [
            activation.neurons(lower[..., place], upper[..., place])
            for place, activation in zip(places, activations, strict=True)
        ]
        return Neurons.cat(parts)

    def firsts(self, points: Tensor) -> tuple[Tensor, ...]:
        """The first layers' outputs at points `(n, d)`."""
        return tuple(network.layers[0].forward(points) for network in self.networks)

    def at_input(self, descent: Descent) -> Tensor:
        """The coefficients `(..., d)` of the input."""
        return added([n.layers[0].adjoint(first) for n, first in zip(self.networks, descent.firsts, strict=True)])

    def send_back(self, lines: Lines, forms: Forms) -> Descent:
        """Send the coefficients `forms` `(..., C)` of each network's outputs back to the first layers' outputs."""
        shape = (*forms[0].shape[:-1], self.width)
        outputs, inputs, rising, slopes = (forms[0].new_empty(shape) for _ in range(4))
        ends = []
        for network, places, form in zip(self.networks, self.places, forms, strict=True):
            a = form
            for place, layer in zip(reversed(places), reversed(network.layers[1:]), strict=True):
                c = layer.adjoint(a)
                up = (c > 0).to(c.dtype)
                slope = torch.lerp(lines.below[..., place], lines.above[..., place], up)
                a = torch.addcmul(lines.multiplier[..., place], c, slope)
                outputs[..., place], inputs[..., place], rising[..., place], slopes[..., place] = c, a, up, slope
            ends.append(a)
        return Descent(outputs, inputs, rising, slopes, tuple(ends))

    def constant(self, lines: Lines, descent: Descent, forms: Forms) -> Tensor:
        """The constants `(...)` that lines and biases add to a form, but for the first layers' biases."""
        total = dot(descent.outputs.clamp(min=0), lines.intercept) + descent.inputs @ self._later_biases
        for network, form in zip(self.networks, forms, strict=True):
            if network.depth > 1:
                total = total + form @ network.layers[-1].bias
        return total

    def send_forth(self, lines: Lines, descent: Descent, firsts: Forms) -> tuple[Tensor, list[Tensor]]:
        """The relaxation's own point, which is the gradient of the bound: pre-activations `(..., width)` and each network's outputs.

        firsts: the first layers' outputs at the corner that the bound rests on.
        """
        hidden, results = torch.empty_like(descent.outputs), []
        lifts = descent.rising * lines.intercept
        for network, places, z in zip(self.networks, self.places, firsts, strict=True):
            for place, layer in zip(places, network.layers[1:], strict=True):
                hidden[..., place] = z
                z = layer.forward(torch.addcmul(lifts[..., place], z, descent.slopes[..., place]))
            results.append(z)
        return hidden, results


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum of one part or two."""
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]
