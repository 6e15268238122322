"""How networks are stored, and whether one can be."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import faithkd
from faithkd.card import KEY, Card
from faithkd.checkpoint.own import read_own
from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.models import Network


def save(path: str | Path, model: nn.Module, card: Card) -> None:
    """Write a checkpoint; the file is whole or not there. Raises `UserError` when it cannot be written."""
    with atomic(path) as file:
        file.write(_stored(model, card))


def card_for(model: Network, **known: Any) -> Card:
    """The card of a model: its architecture, normalisation, classes and the versions in use; `known` gives the other fields."""
    versions = {"faithkd": faithkd.__version__, "torch": torch.__version__, "numpy": numpy.__version__}
    return Card(
        architecture={"name": model.architecture, "arguments": model.arguments},
        normalisation={"mean": model.mean, "std": model.std},
        classes=model.classes,
        versions={**versions, "python": platform.python_version()},
        **known,
    )


def check_storable(model: Network, card: Card, images: Tensor) -> None:
    """Raise `UserError` unless the network comes back from a file as it is: the same tensors, and the same logits for `images`."""
    name = f"the network {model.architecture}"
    with tempfile.TemporaryDirectory(prefix="faithkd-") as folder:
        path = Path(folder) / "network.safetensors"
        save(path, model, card)
        try:
            read = read_own(path)
        except UserError as error:
            raise UserError(f"{name} would not come back from a file: {str(error).replace(str(path), 'it')}") from error
    modes = [(module, module.training) for module in model.modules()]
    try:
        one, other = _logits(model.eval(), images), _logits(read, images)
    finally:
        for module, training in modes:
            module.training = training
    if not isinstance(one, Tensor) or one.shape != (len(images), model.classes):
        found = f"gives {tuple(one.shape)}" if isinstance(one, Tensor) else f"gives a {type(one).__name__}"
        raise UserError(
            f"{name} must map {len(images)} images to logits of shape {(len(images), model.classes)}, but {found}; mend its forward"
        )
    if not torch.equal(one.nan_to_num(), other.nan_to_num()):
        raise UserError(
            f"{name} gives other logits when it is stored and read again, so it depends on more than its parameters and buffers; "
            "make what it depends on a buffer (register_buffer), or an argument of its architecture"
        )


def _stored(model: nn.Module, card: Card) -> bytes:
    """The bytes of a checkpoint. Parameters that share their memory are stored each under its name, whole."""
    try:
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in model.state_dict().items()
        }
        return safetensors.torch.save(tensors, {KEY: card.to_json()})
    except (AttributeError, TypeError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise _not_storable(model, error) from error


def _not_storable(model: nn.Module, error: Exception) -> UserError:
    reason = str(error).partition("\n")[0][:200]
    name = getattr(model, "architecture", type(model).__name__)
    return UserError(
        f"the network {name} cannot be stored ({reason}); a checkpoint takes dense tensors with values, under names that are words"
    )


def _logits(model: nn.Module, images: Tensor) -> Any:
    """Random layers draw the same for every network."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return model(images)
        except Exception as error:  # A network of one's own may raise anything.
            reason = str(error).partition("\n")[0][:200]
            raise UserError(
                f"the network {getattr(model, 'architecture', type(model).__name__)} cannot be used on images of shape "
                f"{tuple(images.shape[1:])} ({type(error).__name__}: {reason}); mend it or give other images"
            ) from error
