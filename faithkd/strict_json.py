"""JSON that means one thing alone, read from files of others."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

DEEPEST = 100
"""Levels of lists and objects in one another."""


def loads(text: str | bytes) -> Any:
    """What a JSON text says. Raises `ValueError` for what is none, and for what programs read in different ways.

    Those are a name that stands twice in one object, NaN and the infinities, numbers beyond float64, and nesting that is too deep.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _inside(outer)]
    if level:
        raise ValueError("it is nested too deeply")
    return value


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has {twice[:80]!r} twice")
    return found


def _constant(name: str) -> float:
    raise ValueError(f"it has {name}, which is no number")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it has {text[:80]}, which is beyond the range of numbers")
    return value
