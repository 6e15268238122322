"""Text from elsewhere, made fit to be shown: a name must not command the terminal that it is shown on."""

from __future__ import annotations

import re

_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line and paragraph separators, changes of direction, and halves of characters, which no file can hold."""


def printable(text: str, lines: bool = False) -> str:
    """The text with control characters as their Python escapes, such as `\\x1b`. lines: keeps the ends of lines."""
    if lines:
        return "\n".join(printable(line) for line in text.split("\n"))
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
