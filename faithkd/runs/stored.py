"""JSON that was stored, decoded by a schema: what does not fit is one sentence, and nothing else is ever made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from faithkd.errors import UserError

Kind = TypeVar("Kind")
AGAIN = "take it from a copy, or make it again in another folder"


def decoded(content: bytes, kind: type[Kind], name: str | Path) -> Kind:
    """The record in a file's content. name: of the file or the line, for the message. Raises `UserError` where it is no such record."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UserError(f"{name} is damaged ({error}); {AGAIN}") from error


def converted(values: Any, kind: type[Kind], name: str) -> Kind:
    """The record that plain values stand for. Raises `UserError` where they stand for none."""
    try:
        return msgspec.convert(values, kind)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise UserError(f"{name} is damaged ({error}); {AGAIN}") from error
