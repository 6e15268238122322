"""Checkpoints that faithkd wrote: the card says what network it is."""

from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from faithkd.card import Card, damaged, read_card
from faithkd.checkpoint.fitting import restored
from faithkd.models import Architecture, Network, build


def read_own(path: Path) -> Network:
    """The network in a checkpoint. Raises `UserError` when it is none, or its tensors do not fit its card."""
    card = read_card(path)
    return restored(lambda: described(card), card, read_tensors(path), path)


def described(card: Card) -> Network:
    """The network that a card describes, without its weights."""
    architecture = Architecture(card.architecture["name"], card.architecture["arguments"])
    return build(architecture, card.normalisation["mean"], card.normalisation["std"], card.classes)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, which is known to be a regular one."""
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise damaged(path) from error
