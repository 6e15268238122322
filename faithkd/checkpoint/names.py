"""Names of tensors in the files of other programs, turned into those of faithkd."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

_COUNTER = "num_batches_tracked"
"""Of batch normalisation: how many batches it has seen. Older programs have none, and in evaluation mode it is not used."""


def renamed(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors under the names of `expected`, and what was taken off theirs, such as "module._orig_mod.".

    Understood are: a prefix that all names have, of any length; names without faithkd's place of the layers (`1.`); batch normalisation
    without its counter; and other names for layers in a row, where the file's order and the order of its names agree on what is meant.
    Where nothing fits, as many as can be are renamed.
    """
    levels = list(_without_prefixes(dict(tensors)))
    for prefix, names in levels:
        if (found := _matched(names, expected)) is not None:
            return found, prefix
    ours = _bare(expected)
    prefix, names = max(levels, key=lambda level: sum(name in ours for name in level[1]))
    return {ours.get(name, name): tensor for name, tensor in names.items()}, prefix


def _without_prefixes(tensors: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """What was taken off, and the tensors; first nothing, then as many parts as all names begin with."""
    prefix = ""
    while True:
        yield prefix, tensors
        parts = {name.partition(".")[0] for name in tensors}
        if len(parts) != 1 or not all("." in name for name in tensors):
            return
        prefix += f"{parts.pop()}."
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}


def _matched(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under the names that are expected, or None when it is not sure which is which."""
    for known in ({name: name for name in expected}, _bare(expected)):
        lacking = known.keys() - tensors.keys()
        if tensors.keys() <= known.keys() and all(name.endswith(_COUNTER) for name in lacking):
            counters = {known[name]: torch.zeros_like(expected[known[name]], device="cpu") for name in lacking}
            return {known[name]: tensor for name, tensor in tensors.items()} | counters
    return _in_a_row(tensors, list(expected))


def _bare(expected: Iterable[str]) -> dict[str, str]:
    """The names by what they are without faithkd's place of the layers."""
    return {name.removeprefix("1."): name for name in expected}


def _in_a_row(tensors: Mapping[str, Tensor], expected: Sequence[str]) -> dict[str, Tensor] | None:
    """Weights and biases of layers whose names are sorted as they stand: the first is the first."""
    if len(tensors) != len(expected):
        return None
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors))
    theirs = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    plain = all(name.endswith((".weight", ".bias")) for name in expected)
    if not plain or layers != sorted(layers, key=_natural) or set(theirs) != set(tensors):
        return None
    return {name: tensors[other] for name, other in zip(expected, theirs, strict=True)}


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts `fc2` before `fc10`."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
