"""Attacks by name: one file an attack, each an instance of the template."""

from __future__ import annotations

import re

from faithkd.attacks.pgd import pgd
from faithkd.attacks.template import Attack
from faithkd.errors import UserError

__all__ = ["Attack", "named", "pgd"]


def named(name: str) -> Attack:
    """The attack of a name: "pgd-K" has K steps of 2.5 eps / K. Raises `UserError` for other names."""
    match = re.fullmatch(r"pgd-([1-9]\d{0,5})", name)
    if match is None:
        raise UserError(f"unknown attack {name!r}; known is pgd-K with a number K of steps, as in pgd-50")
    return pgd(int(match[1]))
