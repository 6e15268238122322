"""A run folder that is being written: readable whatever interrupts the run, by one process at a time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from msgspec import UNSET

from faithkd.errors import UserError
from faithkd.files import atomic, remove_leftovers, sha256
from faithkd.runs.arrays import Arrays
from faithkd.runs.checks import arrays_problem, lines_problem, whole_problem
from faithkd.runs.layout import (
    CERTIFICATES,
    DIGESTS,
    LONGEST_SUMMARY,
    PARTS,
    SUMMARY,
    WITNESSES,
    read_summary,
    refuse,
)  # fmt: skip
from faithkd.runs.lock import Lock, lock_new
from faithkd.runs.reading import Run, StoredPart, read_parts, read_run
from faithkd.runs.records import FORMAT, Certificate, Content, Files, Lines, State, Summary
from faithkd.runs.sealed import sealed
from faithkd.runs.stored import decoded
from faithkd.runs.writing import append_whole, rewrite, store_part, text_of

Keys = Sequence[tuple[float, int]]


class RunFolder:
    """A run folder that is being written, one finished part at a time; nobody else writes in it until `close`.

    A part's witnesses are saved whole, then its digests, then its certificates are appended in one write: a part whose certificates
    can be read is complete, and whatever a kill leaves behind belongs to a part that is not. The parts are what counts until the
    summary says that the run is complete, and the joined files from that moment on.
    """

    def __init__(self, path: Path, summary: Summary, lock: Lock) -> None:
        self.path, self.summary, self._lock = path, summary, lock

    @classmethod
    def create(cls, path: str | Path, summary: Summary) -> RunFolder:
        """A new run folder. Raises `UserError` when the folder is not empty, in use, or cannot be written."""
        path = Path(path)
        folder = cls(path, summary, lock_new(path))
        try:
            folder._save(summary)
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run folder at `path`, to be continued. Raises `UserError` when there is none, or another process writes in it."""
        path = Path(path)
        folder = cls(path, read_summary(path), Lock(path))
        try:
            # Its last writer may have ended between the two.
            folder.summary = read_summary(path)
            folder._tidy()
        except BaseException:
            folder.close()
            raise
        return folder

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write in the folder; a second time does nothing."""
        self._lock.release()

    def begin(self, run: Run, parts: Sequence[tuple[str, Keys]]) -> list[StoredPart]:
        """The finished parts, which need no more work; all others are dropped from the files.

        run: what the folder holds, as it is to be kept from here on. parts: the name of each part, and the (eps, index) of its
        certificates.
        """
        if self.summary.format < FORMAT:
            _renew(run, parts)
        asked = {(name, tuple(keys)) for name, keys in parts}
        stored = [
            part
            for part in read_parts(self.path, run.summary)
            if (part.digests.part, tuple(line.key for line in part.certificates)) in asked
        ]
        # The summary first: while it says what the files hold, they must not change. Then the certificates: digests without
        # certificates are those of a part that is not finished.
        self._save(msgspec.structs.replace(run.summary, state="running", radii=(), seconds=0.0, files=UNSET))
        rewrite(self.path / CERTIFICATES, b"".join(part.text for part in stored))
        rewrite(self.path / DIGESTS, text_of([part.digests for part in stored]))
        return stored

    def append(self, name: str, certificates: list[Certificate], witnesses: Arrays) -> None:
        """Save the finished part `name`. Raises `UserError` when the disk is full or cannot be written, or they cannot be true."""
        if wrong := lines_problem(certificates, self.summary) or arrays_problem(certificates, witnesses, self.summary):
            raise UserError(
                f"a certificate that cannot be true was not written: {wrong}; report it, for a bound is wrong"
            )
        append_whole(self.path / DIGESTS, text_of([store_part(self.path, name, certificates, witnesses)]))
        append_whole(self.path / CERTIFICATES, text_of(certificates))

    def complete(self, wall_seconds: float) -> None:
        """Put everything in its final order and join the parts; interrupting this at any moment loses nothing."""
        run = read_run(self.path)
        if wrong := whole_problem(run.certificates, run.summary):
            refuse(self.path / CERTIFICATES, wrong)
        with atomic(self.path / WITNESSES) as file:
            np.savez_compressed(file, allow_pickle=False, **run.witnesses)
        rewrite(self.path / CERTIFICATES, text_of(run.certificates))
        self._end("complete", run, wall_seconds)
        self._tidy()

    def stop(self, state: State, wall_seconds: float) -> None:
        """Say how a run ended that is not complete."""
        if read_summary(self.path).state == "running":
            self._end(state, read_run(self.path), wall_seconds)

    def _end(self, state: State, run: Run, wall_seconds: float) -> None:
        """Save the summary with the digests of the files that it rests on."""
        joined = state == "complete"
        files = Files(
            certificates=Lines(_sum(self.path / CERTIFICATES), len(run.certificates)),
            witnesses=Content(_sum(self.path / WITNESSES)) if joined else UNSET,
            parts=UNSET if joined else Content(_sum(self.path / DIGESTS)),
        )
        self._save(msgspec.structs.replace(run.summary, state=state, wall_seconds=wall_seconds, files=files))

    def _save(self, summary: Summary) -> None:
        content = sealed(msgspec.to_builtins(summary), indent=2)
        if len(content) > LONGEST_SUMMARY:
            raise UserError("the request is too long to be recorded; divide its images into several runs")
        with atomic(self.path / SUMMARY) as file:
            file.write(content)
        self.summary = decoded(content, Summary, self.path / SUMMARY)

    def _tidy(self) -> None:
        """Remove what is of no use any more, and what runs that were killed have left."""
        if self._lock.held:
            remove_leftovers(self.path)
        parts = self.path / PARTS
        # Of a pipe, rmtree would wait for a writer.
        if self.summary.state == "complete" and parts.is_dir() and not parts.is_symlink():
            shutil.rmtree(parts, ignore_errors=True)


def _sum(path: Path) -> str:
    """The SHA-256 of a file; of nothing where the run did not come to it."""
    return sha256(path) if path.exists() else hashlib.sha256().hexdigest()


def _renew(run: Run, parts: Sequence[tuple[str, Keys]]) -> None:
    """Give the finished parts of a run of an older format their digests; before the summary has the new one, they change nothing."""
    rows = {line.key: row for row, line in enumerate(run.certificates)}
    digests, text = [], b""
    for name, keys in parts:
        if all(key in rows for key in keys):
            places = [rows[key] for key in keys]
            certificates = [run.certificates[row] for row in places]
            arrays = {array: values[places] for array, values in run.witnesses.items()}
            digests.append(store_part(run.path, name, certificates, arrays))
            text += text_of(certificates)
    rewrite(run.path / CERTIFICATES, text)
    rewrite(run.path / DIGESTS, text_of(digests))
