"""Tensors and the network that they are to be the weights of: whether they fit, and put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from faithkd.card import Card
from faithkd.errors import UserError
from faithkd.models import Network, Normalise
from faithkd.models.budget import Budget

Build = Callable[[], Network]


def restored(build: Build, card: Card, tensors: Mapping[str, Tensor], where: str | Path) -> Network:
    """The network that `build` makes, with these weights and this card, in evaluation mode.

    It is made without values first and with them only when the tensors are known to fit, so that a card of a few bytes cannot ask for more
    than its file holds. where: what the tensors are from, for messages. Raises `UserError` when they do not fit.
    """
    with torch.device("meta"), Budget(sum(tensor.numel() for tensor in tensors.values()), len(tensors)):
        model = build()
    check_names(where, model.state_dict(), tensors)
    _check_normalisation(where, card, tensors)
    check_tensors(where, model.state_dict(), tensors)
    model = build()
    model.load_state_dict(dict(tensors))
    _check_ties(where, model, tensors)
    model.requires_grad_(True)
    model.card = card
    return model.eval()


def check_names(where: str | Path, expected: Iterable[str], tensors: Iterable[str], tried: str = "") -> None:
    """Raise `UserError` unless the names are the same. tried: what was done to them before, for the message."""
    lacking, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if lacking or extra:
        raise UserError(
            f"{where} does not hold the tensors of its architecture{tried}: it lacks {_listed(lacking)} and has besides {_listed(extra)}; "
            "check the architecture"
        )


def check_tensors(where: str | Path, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Raise `UserError` unless each is a dense tensor of finite float32 numbers, or of the same integers, of the shape expected."""
    for name, wanted in expected.items():
        _check_tensor(f"the tensor {name} of {where}", wanted, tensors[name])


def _check_tensor(what: str, wanted: Tensor, tensor: Tensor) -> None:
    if tensor.shape != wanted.shape:
        raise UserError(
            f"{what} has shape {tuple(tensor.shape)} but its architecture needs {tuple(wanted.shape)}; check the architecture and the "
            "number of classes"
        )
    counts = not wanted.is_floating_point()
    alike = tensor.dtype == wanted.dtype if counts else tensor.is_floating_point()
    if not alike or tensor.layout != torch.strided or tensor.device.type != "cpu":
        kind = f"{wanted.dtype} values" if counts else "floating-point numbers"
        raise UserError(f"{what} is not a dense array of {kind}; save it as one")
    if counts:
        return
    values = tensor.detach().to(torch.float64)
    if not torch.isfinite(values).all():
        raise UserError(f"{what} holds values that are NaN or infinite; train the network again")
    if not torch.equal(values.to(torch.float32).to(torch.float64), values):
        raise UserError(f"{what} holds values that are not float32 numbers; store it in float32 first")


def _check_normalisation(where: str | Path, card: Card, tensors: Mapping[str, Tensor]) -> None:
    given = Normalise(card.normalisation["mean"], card.normalisation["std"]).state_dict(prefix="0.")
    for name, tensor in given.items():
        if not torch.equal(tensors[name].to(tensor.dtype), tensor):
            raise UserError(
                f"the tensor {name} of {where} is not what mean and std give; give the network's own mean and std"
            )


def _check_ties(where: str | Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Parameters that are one in the network can have the values of one of their names alone."""
    for name, tensor in model.state_dict().items():
        if not torch.equal(tensor, tensors[name].to(tensor.dtype)):
            raise UserError(
                f"the tensor {name} of {where} shares its memory with another one in its architecture, but has other values; check the "
                "architecture"
            )


def _listed(names: list[str]) -> str:
    """The first few names."""
    return (
        ", ".join(repr(name[:60]) for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        or "none"
    )
