"""Architectures by name: the families that a checkpoint can describe, and the networks of the papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from faithkd.data.catalogue import PUBLISHED
from faithkd.errors import UserError
from faithkd.models.mlp import Mlp, mlp

ARCHITECTURES: dict[str, Callable[..., Mlp]] = {"mlp": Mlp}


@dataclass(frozen=True)
class Architecture:
    """A family of networks and the arguments that single one out."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NamedArchitecture:
    """A network of a paper: its hidden widths and the data set that its normalisation is for."""

    dataset: str
    hidden: tuple[int, ...]


NAMED = {
    "mnist-teacher": NamedArchitecture("mnist", (30,) * 5),
    "mnist-student": NamedArchitecture("mnist", (20,) * 4),
    "mnist-student-printed": NamedArchitecture("mnist", (30,) * 4 + (10,)),
    "fashion-mnist-teacher": NamedArchitecture("fashion-mnist", (64, *(32,) * 4, 16, 10)),
    "fashion-mnist-student": NamedArchitecture("fashion-mnist", (30,) * 4 + (10,)),
    "fashion-mnist-student-printed": NamedArchitecture("fashion-mnist", (20,) * 4),
}
"""The faithful-distillation paper's networks. Its students are swapped in print; `-printed` are the pairs as printed."""


def named(name: str, *, generator: torch.Generator | None = None) -> Mlp:
    """A new network of a paper, by its name in `NAMED`. Raises `UserError` for another name."""
    if name not in NAMED:
        raise UserError(f"unknown architecture {name!r}; the known ones are {', '.join(NAMED)}")
    network = NAMED[name]
    published = PUBLISHED[network.dataset]
    return mlp(
        network.hidden, published.mean, published.std, published.classes, published.image_shape, generator=generator
    )


def build(architecture: Architecture, mean: float | Sequence[float], std: float | Sequence[float], classes: int) -> Mlp:
    """The network that an `Architecture` describes, its weights not initialised. Raises `UserError` when there is none."""
    if architecture.name not in ARCHITECTURES:
        raise UserError(f"unknown architecture {architecture.name!r}; this version knows {', '.join(ARCHITECTURES)}")
    try:
        return ARCHITECTURES[architecture.name](mean=mean, std=std, classes=classes, **architecture.arguments)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"a network of architecture {architecture.name!r} cannot be built from its arguments: {reason}"
        ) from error
