"""Text as people are shown it: what comes from elsewhere must not command the terminal, and a value is written one way everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line and paragraph separators, changes of direction, and halves of characters, which no file can hold."""


def printable(text: str, lines: bool = False) -> str:
    """The text with control characters as their Python escapes, such as `\\x1b`. lines: keeps the ends of lines."""
    if lines:
        return "\n".join(printable(line) for line in text.split("\n"))
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def short(name: str) -> str:
    """A network's or data set's name, of a path only the end."""
    return PurePath(name).name


def folder_names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with what is above them where those are equal."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] in percent, without the sign."""
    return f"{100 * share:.{digits}f}"


def spread(mean: float, std: float | None) -> str:
    """Mean and standard deviation; the mean alone where there is no other."""
    return f"{mean:.3f}" + ("" if std is None else f" ± {std:.3f}")


def plain(value: Any, between: str = ", ", number: Callable[[float], str] = str) -> str:
    """A value as JSON has it, without brackets and quotes. number: writes floating-point numbers."""
    if isinstance(value, dict):
        return between.join(f"{name} {plain(entry, between, number)}" for name, entry in value.items())
    if isinstance(value, list):
        return between.join(plain(entry, between, number) for entry in value)
    return number(value) if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
