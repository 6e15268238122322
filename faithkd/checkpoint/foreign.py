"""State dicts of other programs: weights without a word on what network they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faithkd.card import KEY, instead, kind_of_network, read_metadata
from faithkd.checkpoint.fitting import check_names, check_tensors, restored
from faithkd.checkpoint.names import renamed
from faithkd.checkpoint.own import read_tensors
from faithkd.checkpoint.storing import card_for
from faithkd.data.catalogue import PUBLISHED
from faithkd.embedded import SAMPLES
from faithkd.errors import UserError
from faithkd.kinds import SAFETENSORS, STATE
from faithkd.models import Network, Normalise, build
from faithkd.models.registry import Facts, described_by
from faithkd.torch_files import read_plain

DEEPEST = 3
"""Dictionaries in one another in which a state dict is looked for."""
NORMALISATION = ("0.scale", "0.shift")

Numbers = float | Sequence[float]


@dataclass(frozen=True)
class Foreign:
    """What is to be known of a state dict besides its tensors; see `faithkd.load`."""

    architecture: str
    dataset: str | Facts | None = None
    mean: Numbers | None = None
    std: Numbers | None = None


def read_foreign(path: Path, known: Foreign) -> Network:
    """The network with the weights in a file. Raises `UserError` when the file is of another kind or the tensors do not fit."""
    architecture, facts = described_by(known.architecture, known.dataset)
    with torch.device("meta"):
        shell = build(architecture, 0.0, 1.0, facts.classes)
    tensors = _read(path)
    expected = shell.state_dict()
    body = {name: tensor for name, tensor in expected.items() if name not in NORMALISATION}
    found, prefix = renamed(tensors, expected)
    own = found.keys() == expected.keys()
    if not own:
        found, prefix = renamed(tensors, body)
        check_names(path, body, found, f", also without the prefix {prefix[:80]!r}" if prefix else "")
        check_tensors(path, body, found)
    mean, std = _alike(*_normalisation(path, known, facts, own))
    make = partial(build, architecture, mean, std, facts.classes)
    with torch.device("meta"):
        card = card_for(make(), dataset=_published(facts))
    if not own:
        found |= Normalise(mean, std).state_dict(prefix="0.")
    return restored(make, card, found, path)


def _alike(mean: Numbers, std: Numbers) -> tuple[Numbers, Numbers]:
    """One number for all channels becomes one for each where the other is given so."""
    if isinstance(mean, Sequence) and not isinstance(std, Sequence):
        std = (std,) * len(mean)
    if isinstance(std, Sequence) and not isinstance(mean, Sequence):
        mean = (mean,) * len(std)
    return mean, std


def _normalisation(path: Path, known: Foreign, facts: Facts, own: bool) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation: as given, or the data set's where the file brings numbers to compare them with."""
    if known.mean is not None and known.std is not None:
        return known.mean, known.std
    if own and facts.mean is not None and facts.std is not None and known.mean is None and known.std is None:
        return facts.mean, facts.std
    usual = ""
    if facts.mean is not None and facts.std is not None:
        usual = f"--mean {_written(facts.mean)} --std {_written(facts.std)} are those of {facts.name}, "
    raise UserError(
        f"{path} does not say what its network's inputs are normalised with; give both: {usual}--mean 0 --std 1 are for raw pixels in "
        "[0, 1]"
    )


def _written(numbers: Numbers) -> str:
    return ",".join(f"{number:g}" for number in (numbers if isinstance(numbers, Sequence) else (numbers,)))


def _published(facts: Facts) -> str | None:
    """The published data set that these facts are of, for the card."""
    return facts.name if facts.name in PUBLISHED or facts.name in SAMPLES else None


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by their own names."""
    kind = kind_of_network(path)
    if kind == SAFETENSORS:
        if KEY in read_metadata(path):
            raise UserError(f"{path} says itself what it is; leave --architecture out")
        return read_tensors(path)
    if kind == STATE:
        return _state_dict(path, read_plain(path))
    raise UserError(f"{path} is {kind}; {instead(kind)}")


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    """The state dict in what a file holds: all of it, or the one that stands among other values, such as the number of the epoch."""
    for _ in range(DEEPEST):
        if _is_state_dict(content):
            return dict(content)
        if not isinstance(content, Mapping):
            break
        held = {str(name): value for name, value in content.items() if isinstance(value, Mapping) and value}
        several = [name for name, value in held.items() if _is_state_dict(value)]
        if len(several) > 1:
            raise UserError(
                f"{path} holds several state dicts, {', '.join(name[:60] for name in several[:8])}; save the one that is meant alone"
            )
        inner = several or ([] if any(isinstance(value, Tensor) for value in content.values()) else list(held))
        if len(inner) != 1:
            break
        content = held[inner[0]]
    there = (
        f" (its keys are {', '.join(str(name)[:40] for name in list(content)[:8])})"
        if isinstance(content, Mapping)
        else ""
    )
    raise UserError(
        f"{path} must hold a state dict, names with tensors, alone or among plain values{there}; save model.state_dict()"
    )


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )
