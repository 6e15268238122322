"""Several networks at once, with what is said of those that are plain state dicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from faithkd.checkpoint.foreign import Foreign, read_foreign
from faithkd.checkpoint.own import read_own
from faithkd.embedded import find
from faithkd.errors import UserError
from faithkd.models import Network
from faithkd.models.registry import Facts

Value = TypeVar("Value")


@dataclass(frozen=True)
class Said:
    """What is said of networks that are plain state dicts: each once for all of them, or once for each, in their order.

    architecture: names, "none" for a checkpoint of faithkd. mean, std: numbers, one or one a channel. dataset: see `faithkd.load`.
    """

    architecture: tuple[str, ...] = ()
    mean: tuple[tuple[float, ...], ...] = ()
    std: tuple[tuple[float, ...], ...] = ()
    dataset: str | Facts | None = None


def load_all(names: Sequence[str | Path], said: Said) -> list[Network]:
    """The networks by name or path. Raises `UserError` when what is said does not fit their number, or one cannot be read."""
    architectures = _each("--architecture", said.architecture, len(names))
    means, stds = _each("--mean", said.mean, len(names)), _each("--std", said.std, len(names))
    if (said.mean or said.std) and all(name in (None, "none") for name in architectures):
        raise UserError(
            "--mean and --std are for networks that are plain state dicts; say which with --architecture, or leave them out"
        )
    return [
        read_own(find(name))
        if architecture in (None, "none")
        else read_foreign(find(name), Foreign(str(architecture), said.dataset, _number(mean), _number(std)))
        for name, architecture, mean, std in zip(names, architectures, means, stds, strict=True)
    ]


def _each(option: str, given: Sequence[Value], count: int) -> Sequence[Value | None]:
    """One value for each network."""
    if len(given) not in (0, 1, count):
        raise UserError(
            f"{option} can be given once for all networks or once for each of {count}, but is given {len(given)} times"
        )
    return given if len(given) == count else [given[0] if given else None] * count


def _number(numbers: tuple[float, ...] | None) -> float | tuple[float, ...] | None:
    return numbers[0] if numbers is not None and len(numbers) == 1 else numbers
