"""Architectures by name: the families that a checkpoint can describe, and the networks of the papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from faithkd.data.catalogue import PUBLISHED
from faithkd.embedded import SAMPLES
from faithkd.errors import UserError
from faithkd.models.mlp import kaiming, layers
from faithkd.models.mobilenet import MobileNetV2
from faithkd.models.network import Architecture, Network
from faithkd.models.preact_resnet import PreActResNet
from faithkd.models.resnet import ResNet
from faithkd.models.vit import VisionTransformer
from faithkd.models.wide_resnet import WideResNet

Body = Callable[..., nn.Module]
MOST = 1e30
"""More than any mean or std, and its inverse; their quotients are float32 numbers."""

ARCHITECTURES: dict[str, Body] = {
    "mlp": layers,
    "resnet": ResNet,
    "preact-resnet": PreActResNet,
    "wide-resnet": WideResNet,
    "mobilenet-v2": MobileNetV2,
    "vit": VisionTransformer,
}
"""By family: what makes the layers from normalised images to logits, called with `classes`, `input_shape` and its arguments."""


@dataclass(frozen=True)
class NamedArchitecture:
    """A network by name: its family and arguments, and the one data set that it is for, None where it is for any."""

    family: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dataset: str | None = None


def _faithful(dataset: str, *hidden: int) -> NamedArchitecture:
    return NamedArchitecture("mlp", {"hidden": list(hidden)}, dataset)


NAMED: dict[str, NamedArchitecture] = {
    # The faithful-distillation paper's networks. Its students are swapped in print; `-printed` are the pairs as printed.
    "mnist-teacher": _faithful("mnist", *(30,) * 5),
    "mnist-student": _faithful("mnist", *(20,) * 4),
    "mnist-student-printed": _faithful("mnist", *(30,) * 4, 10),
    "fashion-mnist-teacher": _faithful("fashion-mnist", 64, *(32,) * 4, 16, 10),
    "fashion-mnist-student": _faithful("fashion-mnist", *(30,) * 4, 10),
    "fashion-mnist-student-printed": _faithful("fashion-mnist", *(20,) * 4),
    **{f"resnet-{depth}": NamedArchitecture("resnet", {"depth": depth}) for depth in (18, 34, 50)},
    "preactresnet-18": NamedArchitecture("preact-resnet", {"depth": 18}),
    **{
        f"wrn-{depth}-{width}": NamedArchitecture("wide-resnet", {"depth": depth, "width": width})
        for depth, width in ((28, 10), (34, 10), (34, 20), (70, 16))
    },
    "wrn-28-10-silu": NamedArchitecture("wide-resnet", {"depth": 28, "width": 10, "activation": "silu"}),
    "mobilenet-v2": NamedArchitecture("mobilenet-v2"),
    "vit-s-16": NamedArchitecture("vit"),
}
"""The networks that recipes name. Those of the CIFAR papers are for any data set of colour or grey images."""


class Facts(Protocol):
    """What a network must know of its data: a `Dataset` and an entry of the catalogue have it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def image_shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def classes(self) -> int: ...  # noqa: D102
    @property
    def mean(self) -> float | tuple[float, ...] | None: ...  # noqa: D102
    @property
    def std(self) -> float | tuple[float, ...] | None: ...  # noqa: D102


def register(name: str, body: Body) -> None:
    """Make a family of networks of one's own known, to recipes and to checkpoints, under a new name.

    body: called as `body(classes=..., input_shape=..., **arguments)`, returns the module from normalised images to logits, its
    weights initialised by PyTorch's functions. Arguments have types that JSON has; the name alone is the network that the body makes
    without any. Checkpoints of it are read where it is registered. Raises `UserError` when the name is taken.
    """
    if ARCHITECTURES.get(name, body) is not body or name in NAMED:
        raise UserError(f"the architecture {name!r} is known already; register yours under another name")
    ARCHITECTURES[name] = body


def described_by(name: str, data: str | Facts | None = None, dropout: float = 0.0) -> tuple[Architecture, Facts]:
    """The architecture of that name for some data, and what is known of these; see `named`."""
    network = NAMED.get(name) or (NamedArchitecture(name) if name in ARCHITECTURES else None)
    if network is None:
        raise UserError(
            f"unknown architecture {name!r}; the known ones are {', '.join(_names())}, and those of a module given with --import"
        )
    facts = _facts(name, network, data)
    extra = {"dropout": dropout} if dropout else {}
    shape = list(facts.image_shape)
    return Architecture(network.family, {**network.arguments, "input_shape": shape, **extra}), facts


def named(
    name: str, data: str | Facts | None = None, *, dropout: float = 0.0, generator: torch.Generator | None = None
) -> Network:
    """A new network by its name in `NAMED`, or that of a registered family.

    data: what it is for, a published data set's name or a `Dataset`, whose shape, classes and normalisation it takes; a network
    that is for one data set needs none. dropout: the rate before the last layer, of families that have one. generator: where the
    weights come from; None stands for a new one with seed 0. Raises `UserError` for another name, or data that it is not for.
    """
    architecture, facts = described_by(name, data, dropout)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    mean, std = 0.0 if facts.mean is None else facts.mean, 1.0 if facts.std is None else facts.std
    if architecture.name == "mlp":
        model = build(architecture, mean, std, facts.classes)
        kaiming(model, generator)
        return model
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    return build(architecture, mean, std, facts.classes, seed=seed)


def build(
    architecture: Architecture,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    classes: int,
    *,
    seed: int = 0,
) -> Network:
    """The network that an `Architecture` describes; the weights of an `mlp` are not initialised, others follow from the seed.

    The global random state is left as it is. Raises `UserError` when there is no such network.
    """
    if architecture.name not in ARCHITECTURES:
        raise UserError(
            f"unknown architecture {architecture.name!r}; known are {', '.join(ARCHITECTURES)}, and those of a module given with --import"
        )
    _check_normalisation(architecture, mean, std)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            body = ARCHITECTURES[architecture.name](classes=classes, **architecture.arguments)
        network = Network(architecture, body, mean, std, classes)
    except MemoryError:
        raise
    except Exception as error:  # A network of one's own may raise anything.
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise UserError(
            f"a network of architecture {architecture.name!r} cannot be built from its arguments: {reason}"
        ) from error
    if any(nn.parameter.is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        raise UserError(
            f"a network of architecture {architecture.name!r} has lazy layers, whose sizes only a first image tells; give the sizes, "
            "which follow from input_shape"
        )
    return network


def _check_normalisation(
    architecture: Architecture, mean: float | Sequence[float], std: float | Sequence[float]
) -> None:
    """One number for all channels, or one for each, that float32 numbers can be made of."""
    channels = (architecture.arguments.get("input_shape") or [0])[0]
    for numbers in (mean, std):
        if isinstance(numbers, Sequence) and len(numbers) != channels:
            raise UserError(
                f"mean and std must be one number or {channels}, one a channel, but are {len(numbers)}; give as many as the images have "
                "channels"
            )
    means, stds = (numbers if isinstance(numbers, Sequence) else (numbers,) for numbers in (mean, std))
    if not all(abs(number) < MOST for number in means) or not all(1 / MOST < number < MOST for number in stds):
        raise UserError(
            f"the mean must be finite and std positive, but they are {mean} and {std}; give those of the data"
        )


def _facts(name: str, network: NamedArchitecture, data: str | Facts | None) -> Facts:
    """The data that a network is made for."""
    if data is None and network.dataset is None:
        raise UserError(
            f"the architecture {name} is for any data set; say for which one it is to be built (--data, or dataset= in Python)"
        )
    if isinstance(data, str):
        if SAMPLES.get(data, data) not in PUBLISHED:
            raise UserError(f"unknown data set {data!r}; the published ones are {', '.join(PUBLISHED)}")
        data = PUBLISHED[SAMPLES.get(data, data)]
    if network.dataset is None:
        assert data is not None
        return data
    own = PUBLISHED[network.dataset]
    if data is not None and (data.image_shape, data.classes) != (own.image_shape, own.classes):
        raise UserError(
            f"{name} reads images of shape {own.image_shape} in {own.classes} classes, but the data have {data.image_shape} and "
            f"{data.classes}; give other data or another architecture"
        )
    return own


def _names() -> list[str]:
    return [*NAMED, *(name for name in ARCHITECTURES if name not in ("mlp", *{n.family for n in NAMED.values()}))]
