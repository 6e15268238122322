"""Where to compute."""

from __future__ import annotations

from collections.abc import Callable

import torch

from faithkd.errors import UserError


def choose(name: str = "auto", say: Callable[[str], None] | None = None) -> torch.device:
    """The device that `name` asks for: "cpu", "cuda", or "auto" for CUDA where there is one.

    say: told when "auto" falls back to the CPU. Raises `UserError` for "cuda" without one and for other names.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"the device must be auto, cpu or cuda, but is {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("the device cuda was asked for, but torch finds none here; use cpu or auto")
    if name == "auto" and not torch.cuda.is_available() and say is not None:
        say("no CUDA device was found: computing on the CPU")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
