"""Fully connected ReLU networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import skip_init

from faithkd.models.normalise import Normalise

if TYPE_CHECKING:
    from faithkd.card import Card


class Mlp(nn.Sequential):
    """Normalise, Flatten, Linear, ReLU, Linear, ..., Linear: images `(n, *input_shape)` in pixels to logits `(n, classes)`.

    hidden: the widths of the hidden layers. The weights are not initialised: use `mlp`, or load them. A network that
    `faithkd.load` read has its `card`.
    """

    architecture = "mlp"
    card: Card

    def __init__(
        self,
        hidden: Sequence[int],
        mean: float | Sequence[float],
        std: float | Sequence[float],
        classes: int = 10,
        input_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        widths = [math.prod(input_shape), *hidden, classes]
        layers: list[nn.Module] = [Normalise(mean, std), nn.Flatten()]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [_linear(inputs, outputs), nn.ReLU()]
        super().__init__(*layers[:-1])
        self.hidden, self.classes, self.input_shape = tuple(hidden), classes, tuple(input_shape)
        self.mean, self.std = _plain(mean), _plain(std)

    @property
    def arguments(self) -> dict[str, object]:
        """What builds the same network again, in types that JSON has."""
        return {"hidden": list(self.hidden), "input_shape": list(self.input_shape)}


def mlp(
    hidden: Sequence[int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    classes: int = 10,
    input_shape: Sequence[int] = (1, 28, 28),
    *,
    generator: torch.Generator | None = None,
) -> Mlp:
    """A new `Mlp` with Kaiming-normal weights (He et al. 2015, fan in) and zero biases.

    generator: where the weights come from; None stands for a new one with seed 0.
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    model = Mlp(hidden, mean, std, classes, input_shape)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
    return model


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer without values: PyTorch's own initialisation would draw from the global random state."""
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs, device=torch.get_default_device())  # type: ignore[no-untyped-call]
    return layer


def _plain(value: float | Sequence[float]) -> float | list[float]:
    return list(value) if isinstance(value, Sequence) else float(value)
