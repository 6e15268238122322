"""A ReLU network read once from a torch module: its affine layers, in float64, checked and immutable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from verify.errors import Unsupported

UNIT_ROUNDOFF = 2.0**-53


@runtime_checkable
class InputScaling(Protocol):
    """A module that maps `x` to `x * scale + shift` and says so, such as a normalisation layer."""

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift, each a scalar, one value a channel, or of the input's shape."""
        ...


@dataclass(frozen=True)
class ReluNetwork:
    """`z_1 = W_1 x + b_1`, `z_k = W_k relu(z_{k-1}) + b_k`; the last `z` are the logits.

    The input `x` is in the units of the module's own input (pixels): a leading normalisation is folded into the first layer.
    Products of float32 weights and scales are exact in float64; the folded bias is not, and `bias_errors` bounds its error.

    weights: one `(n_k, n_{k-1})` matrix a layer; biases, bias_errors: one `(n_k,)` vector a layer.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    bias_errors: tuple[Tensor, ...]

    @classmethod
    def from_module(cls, module: nn.Module | ReluNetwork, input_shape: tuple[int, ...] | None = None) -> ReluNetwork:
        """Read a Sequential of Flatten, Linear, ReLU, Dropout and at most one leading module with `affine()`.

        input_shape: the shape of one image; needed when a scaling has one value a channel. Raises `Unsupported` for anything
        else, by name and place, and when the module's own output is not reproduced.
        """
        if isinstance(module, ReluNetwork):
            return module
        network = _read(module, input_shape)
        _check_against(module, network, input_shape)
        return network

    def __call__(self, x: Tensor) -> Tensor:
        """Logits `(..., classes)` at flattened inputs `(..., input_size)`."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.relu(x @ weight.T + bias)
        return x @ self.weights[-1].T + self.biases[-1]

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

        return ReluNetwork(move(self.weights), move(self.biases), move(self.bias_errors))


def check_pair(teacher: ReluNetwork, student: ReluNetwork) -> None:
    """Raise `Unsupported` unless both networks read the same input and decide among the same classes."""
    for what, one, other in (
        ("inputs", teacher.input_size, student.input_size),
        ("classes", teacher.classes, student.classes),
    ):
        if one != other:
            raise Unsupported(f"teacher and student must have the same number of {what}, but have {one} and {other}")


def _read(module: nn.Module, input_shape: tuple[int, ...] | None) -> ReluNetwork:
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    scaling: tuple[Tensor, Tensor] | None = None
    after_linear = False
    for place, layer in _leaves(module):
        if isinstance(layer, nn.Linear):
            if after_linear:
                raise Unsupported(f"layer {place} (Linear) follows another Linear directly; merge the two into one")
            weights.append(_exact(layer.weight, place))
            biases.append(
                _exact(layer.bias, place)
                if layer.bias is not None
                else torch.zeros(layer.out_features, dtype=torch.float64)
            )
            after_linear = True
        elif isinstance(layer, nn.ReLU):
            if not after_linear:
                raise Unsupported(
                    f"layer {place} (ReLU) does not follow a Linear layer; only Linear, ReLU, Linear, ... is supported"
                )
            after_linear = False
        elif isinstance(layer, nn.Flatten | nn.Dropout | nn.Identity):
            continue
        elif isinstance(layer, InputScaling) and not weights and scaling is None:
            scale, shift = layer.affine()
            scaling = _exact(scale, place), _exact(shift, place)
        elif isinstance(layer, nn.Softmax | nn.LogSoftmax):
            raise Unsupported(
                f"layer {place} is a {type(layer).__name__}; the network must end with its logits, so remove it"
            )
        else:
            raise Unsupported(
                f"layer {place} is a {type(layer).__name__}; supported are Flatten, Linear, ReLU, Dropout and one leading scaling"
            )
    if not weights:
        raise Unsupported("the network has no Linear layer")
    if not after_linear:
        raise Unsupported("the network ends with a ReLU; it must end with a Linear layer that gives the logits")
    if weights[-1].shape[0] < 2:
        raise Unsupported(f"the network has {weights[-1].shape[0]} output; at least two classes are needed")
    for k in range(1, len(weights)):
        if weights[k].shape[1] != weights[k - 1].shape[0]:
            raise Unsupported(
                f"Linear layer {k + 1} takes {weights[k].shape[1]} inputs but the one before it gives {weights[k - 1].shape[0]}"
            )
    bias_errors = [torch.zeros_like(bias) for bias in biases]
    if scaling is not None:
        weights[0], biases[0], bias_errors[0] = _fold(weights[0], biases[0], *scaling, input_shape)
    return ReluNetwork(tuple(weights), tuple(biases), tuple(bias_errors))


def _leaves(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, nn.Sequential):
        for name, child in module.named_children():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield path or "0", module


def _exact(tensor: Tensor, place: str) -> Tensor:
    if not tensor.is_floating_point():
        raise Unsupported(f"layer {place} has weights of type {tensor.dtype}; floating-point weights are needed")
    values = tensor.detach().to(torch.float64)
    if not torch.isfinite(values).all():
        raise Unsupported(f"layer {place} has weights that are NaN or infinite")
    if not torch.equal(values.to(torch.float32).to(torch.float64), values):
        raise Unsupported(f"layer {place} has weights that are not float32 numbers; store the network in float32 first")
    return values


def _fold(
    weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, input_shape: tuple[int, ...] | None
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = weight.shape[1]
    scale, shift = _spread(scale, inputs, input_shape), _spread(shift, inputs, input_shape)
    folded = bias + weight @ shift
    magnitude = bias.abs() + weight.abs() @ shift.abs()
    return weight * scale, folded, magnitude * (2 * (inputs + 2) * UNIT_ROUNDOFF)


def _spread(values: Tensor, inputs: int, input_shape: tuple[int, ...] | None) -> Tensor:
    if values.numel() == 1:
        return values.flatten().expand(inputs)
    if values.numel() == inputs:
        return values.flatten()
    if input_shape is not None and values.numel() == input_shape[0] and inputs % input_shape[0] == 0:
        return values.flatten().repeat_interleave(inputs // input_shape[0])
    raise Unsupported(
        f"the scaling has {values.numel()} values for {inputs} inputs; one value, one a channel or one an input is needed"
    )


def _check_against(module: nn.Module, network: ReluNetwork, input_shape: tuple[int, ...] | None) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand((4, network.input_size), generator=generator, dtype=torch.float64)
    parameter = next(module.parameters())
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            given = module(points.to(parameter).reshape(4, *(input_shape or (network.input_size,))))
    except RuntimeError as error:
        raise Unsupported(
            f"the network does not accept images of shape {input_shape or (network.input_size,)}: {error}"
        ) from error
    finally:
        module.train(training)
    read = network.to(device=parameter.device)(points.to(parameter.device))
    if given.shape != read.shape or not torch.allclose(
        cast(Tensor, given).double(), read, rtol=1e-3, atol=1e-3 * float(read.abs().max())
    ):
        raise Unsupported(
            "the network computes something else than its layers in order; only plain Sequential networks are supported"
        )
