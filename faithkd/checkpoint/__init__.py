"""Checkpoints: safetensors files with a card, and plain state dicts of others; nothing that is read can run code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faithkd.card import Card, check_data, compatible, read_card
from faithkd.checkpoint.foreign import Foreign, read_foreign
from faithkd.checkpoint.own import read_own
from faithkd.checkpoint.several import Said, load_all
from faithkd.checkpoint.storing import card_for, check_storable, save
from faithkd.embedded import find
from faithkd.files import sha256
from faithkd.models import Network
from faithkd.models.registry import Facts

__all__ = [
    "Card",
    "Foreign",
    "Said",
    "card_for",
    "check_data",
    "check_storable",
    "compatible",
    "find",
    "load",
    "load_all",
    "read_card",
    "save",
    "sha256",
]

Numbers = float | Sequence[float]


def load(
    name_or_path: str | Path,
    architecture: str | None = None,
    dataset: str | Facts | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
) -> Network:
    """A network in evaluation mode on the CPU, with its `Card` as the attribute `card`.

    name_or_path: an embedded network's name, or a `.safetensors` checkpoint, or, with `architecture` (a name in
    `faithkd.models.NAMED`, or of a family that is registered), a plain state dict of PyTorch or safetensors. Of such a state dict:
    dataset: the published data set's name, or the `Dataset`, that the network is for, where its architecture does not tell; mean, std:
    what its inputs are normalised with, a number or one a channel, 0 and 1 for raw pixels; needed unless the file brings them. Raises
    `UserError` for every other file, and for weights that are not finite float32 numbers or do not fit the network.
    """
    path = find(name_or_path)
    if architecture is None:
        return read_own(path)
    return read_foreign(path, Foreign(architecture, dataset, mean, std))
