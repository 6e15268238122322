"""The files of a run folder: their names, and reading those that hold lines or the summary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from msgspec import UNSET, Struct

from faithkd.errors import UserError
from faithkd.files import open_regular, read_bytes
from faithkd.runs.checks import summary_problem
from faithkd.runs.parts import images_of_shard
from faithkd.runs.records import FORMATS, Certificate, Environment, PartDigests, Summary
from faithkd.runs.request import Request
from faithkd.runs.sealed import check_seal
from faithkd.runs.stored import AGAIN, converted, decoded

CERTIFICATES, WITNESSES, SUMMARY, PARTS, DIGESTS = (
    "certificates.jsonl", "witnesses.npz", "summary.json", "parts", "parts/digests.jsonl",
)  # fmt: skip
LONGEST_SUMMARY, LONGEST_LINE = 8 * 2**20, 2000
"""Bytes up to which a summary and a line are read."""


class Headed(Struct):
    """What must be known of a file before the rest is read."""

    format: Any


class _Head(Headed):
    """Of a summary also what was asked."""

    request: dict[str, Any]


class _WithEnvironment(Protocol):
    @property
    def environment(self) -> dict[str, Any]: ...


Head = TypeVar("Head", bound=Headed)
Stated = TypeVar("Stated", bound=_WithEnvironment)


def read_summary(folder: Path) -> Summary:
    """What a run was asked and what it says that it found. Raises `UserError` when the folder has none, or it cannot be true."""
    path = folder / SUMMARY
    if not path.exists():
        raise UserError(f"{folder} is not a run folder: it has no {SUMMARY}; name another folder")
    content, head = read_head(path, LONGEST_SUMMARY, _Head)
    return read_rest(path, content, Summary, lambda: Request.from_dict(head.request), summary_problem)


def read_head(path: Path, longest: int, kind: type[Head]) -> tuple[bytes, Head]:
    """A file's content and what must be known of it first: that this version reads its format, and that it is whole."""
    content = read_bytes(path, longest)
    head = decoded(content, kind, path)
    if head.format not in FORMATS:
        raise UserError(
            f"{path} has format {head.format!r:.20}, but this version reads the formats {' and '.join(map(str, FORMATS))}; "
            "use the version that wrote it"
        )
    if head.format > 1:
        check_seal(content, path)
    return content, head


def read_rest(
    path: Path,
    content: bytes,
    kind: type[Stated],
    question: Callable[[], object],
    problem: Callable[[Stated], str | None],
) -> Stated:
    """The record, with its environment. question: reads what was asked. problem: what is wrong with the record, if anything.

    Raises `UserError` when it cannot be true.
    """
    try:
        question()
    except UserError as error:
        refuse(path, str(error))
    record = decoded(content, kind, path)
    converted(record.environment, Environment, f"the environment in {path}")
    if wrong := problem(record):
        refuse(path, wrong)
    return record


def read_certificates(folder: Path, summary: Summary) -> tuple[list[bytes], list[Certificate], bytes]:
    """The whole lines as they stand there, their records, and what follows the last whole line."""
    path = folder / CERTIFICATES
    lines, torn = _lines(path, lines_asked(summary))
    if summary.files is not UNSET:
        check_sum(path, hashlib.sha256(b"".join((*lines, torn))).hexdigest(), summary.files.certificates.sha256)
    return lines, [decoded(line, Certificate, f"line {k} of {path}") for k, line in enumerate(lines, start=1)], torn


def read_digests(folder: Path, summary: Summary) -> list[PartDigests]:
    """Of the finished parts, the later where a part was done again; a torn line is of a part that was not finished."""
    path = folder / DIGESTS
    lines, torn = _lines(path, lines_asked(summary))
    if summary.files is not UNSET and summary.files.parts is not UNSET:
        check_sum(path, hashlib.sha256(b"".join((*lines, torn))).hexdigest(), summary.files.parts.sha256)
    entries = [decoded(line, PartDigests, f"line {k} of {path}") for k, line in enumerate(lines, start=1)]
    return list({entry.part: entry for entry in entries}.values())


def check_sum(path: Path, found: str, expected: str) -> None:
    """Raise `UserError` unless a file has the SHA-256 that the summary of an ended run states."""
    if found != expected:
        raise UserError(f"{path} was changed since the run ended: its SHA-256 is not the one in {SUMMARY}; {AGAIN}")


def lines_asked(summary: Summary) -> int:
    """How many certificates the request asks for."""
    return len(summary.request.eps or ()) * images_of_shard(summary.request)


def refuse(path: Path, wrong: str) -> NoReturn:
    """Raise the `UserError` for a file whose records cannot be true."""
    raise UserError(f"{path} cannot be what a run wrote: {wrong}; {AGAIN}")


def _lines(path: Path, most: int) -> tuple[list[bytes], bytes]:
    """All whole lines, at most so many, and what follows the last; nothing where there is no file."""
    lines: list[bytes] = []
    if not path.exists():
        return lines, b""
    with open_regular(path) as file:
        for line in _bounded(file):
            if not line.endswith(b"\n"):
                if len(line) > LONGEST_LINE:
                    refuse(path, f"line {len(lines) + 1} is longer than {LONGEST_LINE:,} bytes")
                return lines, line
            if len(lines) == most:
                refuse(path, f"it has more lines than the {most:,} that the request asks for")
            lines.append(line)
    return lines, b""


def _bounded(file: BufferedReader) -> Iterator[bytes]:
    return iter(lambda: file.readline(LONGEST_LINE + 1), b"")
