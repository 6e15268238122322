"""A network as what is computed: affine layers with an activation between each two, in float64, checked and immutable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from verify.errors import Unsupported
from verify.network.activation import RELU, Activation
from verify.network.affine import Affine, Dense
from verify.network.reading import layers_of


@dataclass(frozen=True)
class Network:
    """`z_1 = W_1 x + b_1`, `z_k = W_k activation(z_{k-1}) + b_k`; the last `z` are the logits.

    The input `x` is in the units of the module's own input (pixels): scalings before and after a layer are folded into it. Products of
    two float32 numbers are exact in float64; what is not, the layers' errors bound.
    """

    layers: tuple[Affine, ...]
    activations: tuple[Activation, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Logits `(..., classes)` at flattened inputs `(..., input_size)`."""
        for layer, activation in zip(self.layers[:-1], self.activations, strict=True):
            x = activation(layer.forward(x))
        return self.layers[-1].forward(x)

    def upto(self, layer: int) -> Self:
        """The network whose outputs are the pre-activations of a layer, counted from 0."""
        return self._with(self.layers[: layer + 1], self.activations[:layer])

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.layers[-1].outputs

    @property
    def input_size(self) -> int:
        """Number of inputs after flattening."""
        return self.layers[0].inputs

    @property
    def depth(self) -> int:
        """Number of affine layers."""
        return len(self.layers)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the layers; bounds are proofs only in float64."""
        return self.layers[0].bias.dtype

    @property
    def device(self) -> torch.device:
        """Device of the layers."""
        return self.layers[0].bias.device

    @property
    def is_dense(self) -> bool:
        """Whether it is a chain of matrices and ReLUs, as the compiled loops want it."""
        dense = all(isinstance(layer, Dense) for layer in self.layers)
        return dense and all(activation == RELU for activation in self.activations)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same network on another device or, for searching only, in another type."""
        return self._with(tuple(layer.to(device=device, dtype=dtype) for layer in self.layers), self.activations)

    def _with(self, layers: tuple[Affine, ...], activations: tuple[Activation, ...]) -> Self:
        """A network of the same class with other layers."""
        other = object.__new__(type(self))
        Network.__init__(other, layers, activations)
        return other


class ReluNetwork(Network):
    """A network of matrices and ReLUs.

    weights: one `(n_k, n_{k-1})` matrix a layer; biases, bias_errors: one `(n_k,)` vector a layer; weight_errors: one matrix a layer,
    or None for a layer whose weights are exact.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        bias_errors: Sequence[Tensor],
        weight_errors: Sequence[Tensor | None] = (),
    ) -> None:
        errors = weight_errors or (None,) * len(weights)
        layers = tuple(Dense(*parts) for parts in zip(weights, biases, bias_errors, errors, strict=True))
        super().__init__(layers, (RELU,) * (len(layers) - 1))

    @classmethod
    def from_module(
        cls, module: nn.Module | Network, input_shape: tuple[int, ...] | None = None, points: Tensor | None = None
    ) -> Network:
        """Read what a module computes in evaluation mode (verify/network/reading.py), in real arithmetic on its stored numbers.

        Weights of 16 bits are the float32 numbers that they are; what the module then computes in 16 bits is not covered. input_shape:
        of one image; needed unless the module begins with a Linear layer. points: `(64, inputs)`, where the module must give what was
        read; uniform ones in [0, 1] unless given. Raises `Unsupported` for anything that is not a chain of affine layers and ReLUs,
        by name and place.
        """
        if isinstance(module, Network):
            return module
        if not isinstance(module, nn.Module):
            raise Unsupported(f"a network must be a torch module or a ReluNetwork, but is {_kind(module)}")
        layers = layers_of(module, input_shape or _first_inputs(module), points)
        return cls(
            *zip(*((part.weight, part.bias, part.bias_error, part.weight_error) for part in layers), strict=True)
        )

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """The layers' matrices."""
        return tuple(layer.weight for layer in self._dense)

    @property
    def biases(self) -> tuple[Tensor, ...]:
        """The layers' biases."""
        return tuple(layer.bias for layer in self.layers)

    @property
    def bias_errors(self) -> tuple[Tensor, ...]:
        """What the biases may be off by."""
        return tuple(layer.bias_error for layer in self.layers)

    @property
    def weight_errors(self) -> tuple[Tensor | None, ...]:
        """What the matrices may be off by."""
        return tuple(layer.weight_error for layer in self._dense)

    @property
    def _dense(self) -> tuple[Dense, ...]:
        return self.layers  # type: ignore[return-value]


def check_network(network: Network) -> None:
    """Raise `Unsupported` unless a network's layers fit each other, are finite float64 numbers, and give at least two logits."""
    for k, layer in enumerate(network.layers):
        matrix = layer.matrix()
        if any(t is not None and t.dtype != torch.float64 for t in (matrix, layer.bias)):
            raise Unsupported(
                f"layer {k + 1} of the network is of type {layer.bias.dtype}; bounds are proved in float64"
            )
        if not all(bool(torch.isfinite(t).all()) for t in (matrix, layer.bias) if t is not None):
            raise Unsupported(f"layer {k + 1} of the network holds numbers that are NaN or infinite")
        inputs = network.layers[k - 1].outputs if k else layer.inputs
        if layer.inputs != inputs or (matrix is not None and len(matrix) != layer.outputs):
            raise Unsupported(
                f"layer {k + 1} of the network takes {layer.inputs} numbers and gives {layer.outputs}, but is given {inputs}"
            )
    if network.classes < 2:
        raise Unsupported(f"the network has {network.classes} output; at least two classes are needed")


def check_pair(teacher: Network, student: Network) -> None:
    """Raise `Unsupported` unless both networks read the same input and decide among the same classes."""
    for what, one, other in (
        ("inputs", teacher.input_size, student.input_size),
        ("classes", teacher.classes, student.classes),
    ):
        if one != other:
            raise Unsupported(f"teacher and student must have the same number of {what}, but have {one} and {other}")


def _first_inputs(module: nn.Module) -> tuple[int, ...]:
    """The shape of an image where the module's first layer tells."""
    first = next((part for part in module.modules() if isinstance(part, nn.Linear)), None)
    if first is None:
        raise Unsupported("the shape of an image is needed to read this network; give input_shape")
    return (first.in_features,)


def _kind(value: object) -> str:
    """What was given in place of a network, and what to give."""
    if isinstance(value, dict):
        return "a dictionary; build the network and load a state dict into it"
    if isinstance(value, str | bytes) or hasattr(value, "__fspath__"):
        return "a path; load the network first, for instance with faithkd.load"
    return f"a {type(value).__name__}"
