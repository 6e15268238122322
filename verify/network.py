"""A ReLU network read once from a torch module: its affine layers, in float64, checked and immutable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from verify.errors import Unsupported
from verify.reading import layers_of


@dataclass(frozen=True)
class ReluNetwork:
    """`z_1 = W_1 x + b_1`, `z_k = W_k relu(z_{k-1}) + b_k`; the last `z` are the logits.

    The input `x` is in the units of the module's own input (pixels): scalings before and after a layer are folded into it. Products of
    two float32 numbers are exact in float64; what is not, `bias_errors` and `weight_errors` bound.

    weights: one `(n_k, n_{k-1})` matrix a layer; biases, bias_errors: one `(n_k,)` vector a layer; weight_errors: one matrix a layer,
    or None for a layer whose weights are exact.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    bias_errors: tuple[Tensor, ...]
    weight_errors: tuple[Tensor | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.weight_errors:
            object.__setattr__(self, "weight_errors", (None,) * len(self.weights))

    @classmethod
    def from_module(
        cls, module: nn.Module | ReluNetwork, input_shape: tuple[int, ...] | None = None, points: Tensor | None = None
    ) -> ReluNetwork:
        """Read what a module computes in evaluation mode (verify/reading.py), in real arithmetic on its stored numbers.

        Weights of 16 bits are the float32 numbers that they are; what the module then computes in 16 bits is not covered. input_shape:
        of one image; needed unless the module begins with a Linear layer. points: `(64, inputs)`, where the module must give what was
        read; uniform ones in [0, 1] unless given. Raises `Unsupported` for anything that is not a chain of affine layers and ReLUs,
        by name and place.
        """
        if isinstance(module, ReluNetwork):
            return module
        if not isinstance(module, nn.Module):
            raise Unsupported(f"a network must be a torch module or a ReluNetwork, but is {_kind(module)}")
        layers = layers_of(module, input_shape or _first_inputs(module), points)
        return cls(
            tuple(layer.weight for layer in layers),
            tuple(layer.bias for layer in layers),
            tuple(layer.bias_error for layer in layers),
            tuple(layer.weight_error for layer in layers),
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Logits `(..., classes)` at flattened inputs `(..., input_size)`."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.relu(x @ weight.T + bias)
        return x @ self.weights[-1].T + self.biases[-1]

    def __getitem__(self, layers: slice) -> ReluNetwork:
        """The network of some of the layers."""
        return ReluNetwork(
            self.weights[layers], self.biases[layers], self.bias_errors[layers], self.weight_errors[layers]
        )

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.weights[-1].shape[0]

    @property
    def input_size(self) -> int:
        """Number of inputs after flattening."""
        return self.weights[0].shape[1]

    @property
    def depth(self) -> int:
        """Number of affine layers."""
        return len(self.weights)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; bounds are proofs only in float64."""
        return self.weights[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.weights[0].device

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ReluNetwork:
        """The same network on another device or, for searching only, in another type."""

        def move(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(tensor.to(device=device, dtype=dtype) for tensor in tensors)

        errors = tuple(None if error is None else error.to(device=device, dtype=dtype) for error in self.weight_errors)
        return ReluNetwork(move(self.weights), move(self.biases), move(self.bias_errors), errors)


def check_network(network: ReluNetwork) -> None:
    """Raise `Unsupported` unless a network's layers fit each other, are finite float64 numbers, and give at least two logits."""
    for k, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if weight.dtype != torch.float64 or bias.dtype != torch.float64:
            raise Unsupported(f"layer {k + 1} of the network is of type {weight.dtype}; bounds are proved in float64")
        if not bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise Unsupported(f"layer {k + 1} of the network holds numbers that are NaN or infinite")
        inputs = network.weights[k - 1].shape[0] if k else weight.shape[1]
        if weight.shape != (len(bias), inputs):
            raise Unsupported(
                f"layer {k + 1} of the network has a weight of shape {tuple(weight.shape)}, but needs ({len(bias)}, {inputs})"
            )
    if network.classes < 2:
        raise Unsupported(f"the network has {network.classes} output; at least two classes are needed")


def check_pair(teacher: ReluNetwork, student: ReluNetwork) -> None:
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
