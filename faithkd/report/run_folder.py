"""The run folder of `faithkd certify`: certificates, witnesses and summary, readable whatever interrupts the run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.report.summary import Certificate, statistics

FORMAT = 1
CERTIFICATES, WITNESSES, SUMMARY, PAGE, FIGURES, PARTS = (
    "certificates.jsonl", "witnesses.npz", "summary.json", "report.html", "figures", "parts",
)  # fmt: skip

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    certificates: one record an image and radius, by radius and then by index. witnesses: arrays with one row a certificate, in the
    same order: `index`, `eps`, `image` and `witness` `(m, *shape)`, `teacher` and `student` confidences `(m, 2, classes)` at the
    image and at the witness, `empirical_agreement`.
    """

    path: Path
    summary: dict[str, Any]
    certificates: list[Certificate]
    witnesses: Arrays


class RunFolder:
    """A run folder that is being written, one finished part at a time.

    A part is some images at one radius. Its witnesses are saved whole, then its certificates are appended in one write: a part whose
    certificates can be read is complete, and whatever a kill leaves behind belongs to a part that is not.
    """

    def __init__(self, path: Path, summary: dict[str, Any]) -> None:
        self.path, self.summary = path, summary

    @classmethod
    def create(cls, path: str | Path, summary: dict[str, Any]) -> RunFolder:
        """A new run folder. Raises `UserError` when the folder is not empty or cannot be written."""
        path = Path(path)
        check_free(path)
        folder = cls(path, {"format": FORMAT, **summary})
        folder.save_summary()
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run folder at `path`, to be continued. Raises `UserError` when there is none."""
        path = Path(path)
        return cls(path, _read_summary(path))

    def finished(self, parts: Iterable[tuple[str, list[tuple[float, int]]]]) -> set[str]:
        """The names of the parts that need no more work; the certificates of all others are dropped from the file.

        parts: the name of each part and the (eps, index) of its certificates.
        """
        certificates = {_key(line): line for line in _read_certificates(self.path)}
        done, kept = set(), []
        for name, keys in parts:
            if all(key in certificates for key in keys) and (self._part(name).exists() or self._merged()):
                done.add(name)
                kept += [certificates[key] for key in keys]
        if _text(kept).encode() != _bytes(self.path / CERTIFICATES):
            self._write_certificates(kept)
        return done

    def append(self, name: str, certificates: list[Certificate], witnesses: Arrays) -> None:
        """Save the finished part `name`. Raises `UserError` when the disk is full or cannot be written."""
        with atomic(self._part(name)) as file:
            np.savez_compressed(file, allow_pickle=False, **witnesses)
        path, text = self.path / CERTIFICATES, _text(certificates).encode()
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab", buffering=0) as stream:
                if stream.write(text) != len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(stream.fileno())
        except OSError as error:
            _cut(path, before)
            raise UserError(
                f"cannot write {path}: {error.strerror or error}; make room and continue with --resume"
            ) from error

    def certificates(self) -> list[Certificate]:
        """The certificates so far, in order."""
        return _ordered(_read_certificates(self.path), self.summary)

    def arrays(self) -> Arrays:
        """The witnesses of all finished parts, in the order of the certificates."""
        return _ordered_arrays(self.path, self.certificates())

    def close(self) -> None:
        """Put everything in its final order and join the parts; interrupting this at any moment loses nothing."""
        certificates = self.certificates()
        if (self.path / PARTS).is_dir():
            arrays = _ordered_arrays(self.path, certificates)
            with atomic(self.path / WITNESSES) as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
        self._write_certificates(certificates)
        shutil.rmtree(self.path / PARTS, ignore_errors=True)

    def summarise(self) -> None:
        """Bring the statistics of the summary up to date with the certificates."""
        self.summary |= _statistics(self.summary, self.certificates(), self.arrays())

    def save_summary(self) -> None:
        """Write `summary.json` whole."""
        with atomic(self.path / SUMMARY) as file:
            file.write((json.dumps(self.summary, indent=2) + "\n").encode())

    def _part(self, name: str) -> Path:
        return self.path / PARTS / f"{name}.npz"

    def _merged(self) -> bool:
        return (self.path / WITNESSES).exists()

    def _write_certificates(self, certificates: list[Certificate]) -> None:
        with atomic(self.path / CERTIFICATES) as file:
            file.write(_text(certificates).encode())


def read_run(path: str | Path) -> Run:
    """Everything in a run folder, finished or not. Raises `UserError` when it is none or is damaged."""
    path = Path(path)
    summary = _read_summary(path)
    certificates = _ordered(_read_certificates(path), summary)
    arrays = _ordered_arrays(path, certificates)
    return Run(path, summary | _statistics(summary, certificates, arrays), certificates, arrays)


def check_free(path: Path) -> None:
    """Raise `UserError` unless a new run folder can be made at `path`."""
    try:
        if path.exists() and not path.is_dir():
            raise UserError(f"--out must name a folder, but {path} is a file; choose another name")
        if path.is_dir() and any(path.iterdir()):
            raise UserError(f"the run folder {path} is not empty; continue it with --resume or choose another --out")
    except OSError as error:
        raise UserError(f"cannot use {path}: {error.strerror}; choose a folder that you may write to") from error


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads((path / SUMMARY).read_bytes())
        if not isinstance(summary, dict) or not isinstance(summary["request"], dict):
            raise ValueError("no request in it")
    except OSError as error:
        raise UserError(f"{path} is not a run folder: its {SUMMARY} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError) as error:
        raise UserError(f"{path / SUMMARY} is damaged ({error}); make the run again in another folder") from error
    if summary.get("format") != FORMAT:
        raise UserError(f"{path / SUMMARY} has format {summary.get('format')}, but this version reads format {FORMAT}")
    return summary


def _statistics(summary: dict[str, Any], certificates: list[Certificate], arrays: Arrays) -> dict[str, Any]:
    held = arrays["empirical_agreement"].tolist() if certificates else []
    return {
        "radii": statistics(certificates, held, summary["request"]["delta"]),
        "seconds": float(sum(line["seconds"] for line in certificates)),
    }


def _read_certificates(path: Path) -> list[Certificate]:
    """All whole lines; a kill can only tear the last one."""
    lines = _bytes(path / CERTIFICATES).split(b"\n")
    certificates = []
    for number, line in enumerate(lines[:-1]):
        try:
            certificate = json.loads(line)
            _key(certificate)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"line {number + 1} of {path / CERTIFICATES} is damaged; remove it and continue with --resume"
            ) from error
        certificates.append(certificate)
    return certificates


def _ordered(certificates: list[Certificate], summary: dict[str, Any]) -> list[Certificate]:
    """By radius as asked for, then by index; one for each."""
    radii = [float(eps) for eps in summary["request"]["eps"]]
    unique = {_key(certificate): certificate for certificate in certificates}
    return [unique[key] for key in sorted(unique, key=lambda key: (radii.index(key[0]), key[1]))]


def _ordered_arrays(path: Path, certificates: list[Certificate]) -> Arrays:
    """One row a certificate, from the parts and the joined file. Raises `UserError` when a certificate has none."""
    sources = [*sorted((path / PARTS).glob("*.npz")), path / WITNESSES]
    found: list[Arrays] = []
    for source in sources:
        if source.exists():
            try:
                with np.load(source, allow_pickle=False) as archive:
                    found.append({name: archive[name] for name in archive.files})
            except (OSError, ValueError, EOFError) as error:
                raise UserError(f"{source} is damaged; remove it and continue with --resume") from error
    if not certificates:
        return {}
    if not found:
        raise UserError(f"{path} holds no witnesses for its certificates; make the run again in another folder")
    joined = {name: np.concatenate([arrays[name] for arrays in found]) for name in found[0]}
    rows = {
        (float(eps), int(index)): row
        for row, (eps, index) in enumerate(zip(joined["eps"], joined["index"], strict=True))
    }
    if missing := [certificate for certificate in certificates if _key(certificate) not in rows]:
        raise UserError(
            f"{path} holds no witness for image {missing[0]['index']}; make the run again in another folder"
        )
    order = [rows[_key(certificate)] for certificate in certificates]
    return {name: values[order] for name, values in joined.items()}


def _key(certificate: Certificate) -> tuple[float, int]:
    return float(certificate["eps"]), int(certificate["index"])


def _text(certificates: list[Certificate]) -> str:
    return "".join(json.dumps(certificate) + "\n" for certificate in certificates)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _cut(path: Path, size: int) -> None:
    """Take back a write that failed half-way, so that the file ends with a whole line."""
    with contextlib.suppress(OSError):
        os.truncate(path, size)
