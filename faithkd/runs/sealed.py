"""JSON files that end with the SHA-256 of the rest of themselves, so that a number in them cannot change unnoticed.

It is no signature: who changes a file on purpose can seal it again, and has to get past the schemas and the arithmetic then.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from faithkd.errors import UserError
from faithkd.runs.stored import AGAIN

OPEN = "0" * 64
"""What stands in the place of the digest while it is computed."""
_SEAL = re.compile(rb'"digest": "([0-9a-f]{64})"\s*}\n\Z')


def sealed(values: dict[str, Any], indent: int | None = None) -> bytes:
    """The content of a file with these values, in their order, and its digest."""
    text = json.dumps({**values, "digest": OPEN}, indent=indent, allow_nan=False) + "\n"
    head, _, tail = text.rpartition(OPEN)
    return (head + hashlib.sha256(text.encode()).hexdigest() + tail).encode()


def check_seal(content: bytes, path: str | Path) -> None:
    """Raise `UserError` unless the content is what `sealed` made."""
    found = _SEAL.search(content)
    if found is None:
        raise UserError(f"{path} must end with the digest of its content, but does not: it was changed; {AGAIN}")
    start, end = found.span(1)
    rest = content[:start] + OPEN.encode() + content[end:]
    if hashlib.sha256(rest).hexdigest() != found[1].decode():
        raise UserError(f"{path} was changed since it was written: its digest is another; {AGAIN}")
