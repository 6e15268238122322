"""What every public question is asked in: ordinary tensors, gradients at hand and honest arithmetic, whatever the caller is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from verify.rounding import check_subnormals

P = ParamSpec("P")
R = TypeVar("R")


def question(function: Callable[P, R]) -> Callable[P, R]:
    """A function that may be called inside `no_grad`, `inference_mode` and `autocast`: none of them reaches what it does.

    Raises `Unsupported` where subnormal numbers are flushed to zero.
    """

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        check_subnormals()
        with (
            torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):  # fmt: skip
            ordinary_kwargs: Any = {name: _ordinary(value) for name, value in kwargs.items()}
            return function(*map(_ordinary, args), **ordinary_kwargs)

    return asked


def _ordinary(value: Any) -> Any:
    """The same with a copy of every tensor that was made in inference mode and takes part in no gradient."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, tuple) and any(isinstance(entry, Tensor) for entry in value):
        return tuple(map(_ordinary, value))
    if is_dataclass(value) and not isinstance(value, type):
        held = {entry.name: getattr(value, entry.name) for entry in fields(value)}
        copies = {name: _ordinary(own) for name, own in held.items()}
        return replace(value, **copies) if any(copies[name] is not held[name] for name in held) else value
    return value
