"""The folder of a study: what was asked, run folders of `certify`, one record of searches for each network and kind of region."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from faithkd import interrupts
from faithkd.errors import UserError
from faithkd.files import atomic, read_bytes, remove_leftovers
from faithkd.runs.layout import Headed, read_head, read_rest, refuse
from faithkd.runs.lock import Lock, lock_new
from faithkd.runs.records import State
from faithkd.runs.sealed import check_seal, sealed
from faithkd.runs.stored import decoded
from faithkd.study.plan import REGIONS, Plan
from faithkd.study.records import (
    FORMAT,
    Network,
    Planes,
    Search,
    Session,
    Study,
    planes_problem,
    search_problem,
    study_problem,
)  # fmt: skip

STUDY, SEARCHES, CERTIFICATES, NETWORKS, FIGURES = "study.json", "searches", "certify", "networks", "figures"
PAGE, MARKDOWN, RESULTS = "report.html", "report.md", "report.json"
PLANE = "plane"
LONGEST_STUDY, LONGEST_PLANES, LONGEST_SEARCH, LONGEST_IMAGE = 2**20, 16 * 2**20, 2**20, 200
"""Bytes up to which the records are read: a record of searches has so many, and so many for each image."""

Kind = TypeVar("Kind", Search, Planes)


class _Head(Headed):
    """What must be known of a study before the rest is read."""

    plan: dict[str, Any]


class StudyFolder:
    """A study on disk; `record` is what `study.json` holds."""

    def __init__(self, path: Path, record: Study) -> None:
        self.path, self.record = path, record

    @classmethod
    def create(cls, path: str | Path, plan: Plan, environment: dict[str, Any]) -> StudyFolder:
        """A new study. Raises `UserError` when the folder is not empty, in use, or cannot be written."""
        path = Path(path)
        folder = cls(path, Study(state="running", plan=plan, environment=environment))
        lock = lock_new(path)
        try:
            folder._save(folder.record)
        finally:
            lock.release()
        return folder

    @classmethod
    def open(cls, path: str | Path) -> StudyFolder:
        """The study at `path`. Raises `UserError` when there is none or it cannot be what a study wrote."""
        path = Path(path)
        return cls(path, _read_study(path))

    @property
    def plan(self) -> Plan:
        """What was asked."""
        return self.record.plan

    def run_path(self, student: str, region: str) -> Path:
        """The run folder of one student on one kind of region."""
        return self.path / CERTIFICATES / f"{student}-{region}"

    def search(self, network: str, region: str) -> Search | None:
        """A record of searches, or None where it has not been made. Raises `UserError` when it cannot be what a study wrote."""
        longest = LONGEST_SEARCH + LONGEST_IMAGE * self.plan.images
        return self._read(
            f"{network}-{region}", Search, longest, lambda found: search_problem(found, self.plan, network, region)
        )

    def planes(self) -> Planes | None:
        """The record of planes, in the same way."""
        return self._read(PLANE, Planes, LONGEST_PLANES, lambda found: planes_problem(found, self.plan))

    def save_search(self, record: Search) -> None:
        """Keep a record of searches, whole or not at all."""
        self._write(f"{record.network}-{record.region}", record)

    def save_planes(self, record: Planes) -> None:
        """Keep the record of planes."""
        self._write(PLANE, record)

    def remember(self, networks: dict[str, Network]) -> None:
        """Keep which networks these are."""
        self._save(msgspec.structs.replace(self.record, networks=networks))

    def stop(self) -> None:
        """Say that the study was interrupted, if nothing else has been said of how it ended."""
        if _read_study(self.path).state == "running":
            self._save(msgspec.structs.replace(self.record, state="interrupted"))

    @contextmanager
    def session(self, workers: int) -> Iterator[None]:
        """Nobody else works on the study in the block; keeps the time that is spent in it and how it ended.

        Raises `UserError` when another process works on it.
        """
        lock = Lock(self.path)
        try:
            self.record = _read_study(self.path)
            if lock.held:
                remove_leftovers(self.path)
            self._renew()
            with self._timed(workers):
                yield
        finally:
            lock.release()

    @contextmanager
    def _timed(self, workers: int) -> Iterator[None]:
        started, begun = time.perf_counter(), time.strftime("%Y-%m-%d")
        before = self.record.sessions
        state: State = "running"
        try:
            self._save(msgspec.structs.replace(self.record, state="running"))
            yield
            state = "complete"
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) or interrupts.asked() else "failed"
            raise
        finally:
            session = Session(begun, round(time.perf_counter() - started, 1), workers)
            with interrupts.held():
                self._save(msgspec.structs.replace(self.record, state=state, sessions=(*before, session)))

    def _renew(self) -> None:
        """Give the records of an older format their digests; the study says last that it has the new one."""
        if self.record.format == FORMAT:
            return
        for region in REGIONS:
            for network in ("teacher", *self.plan.students):
                if (found := self.search(network, region)) is not None:
                    self.save_search(found)
        if (planes := self.planes()) is not None:
            self.save_planes(planes)
        self._save(msgspec.structs.replace(self.record, format=FORMAT))

    def _read(self, name: str, kind: type[Kind], longest: int, problem: Callable[[Kind], str | None]) -> Kind | None:
        path = self._place(name)
        if not path.exists():
            return None
        content = read_bytes(path, longest)
        record = decoded(content, kind, path)
        if self.record.format > 1 or record.digest is not UNSET:
            check_seal(content, path)
        if wrong := problem(record):
            refuse(path, wrong)
        return record

    def _write(self, name: str, record: Search | Planes) -> None:
        with atomic(self._place(name)) as file:
            file.write(sealed(msgspec.to_builtins(record)))

    def _save(self, record: Study) -> None:
        with atomic(self.path / STUDY) as file:
            file.write(sealed(msgspec.to_builtins(record), indent=2))
        self.record = record

    def _place(self, name: str) -> Path:
        return self.path / SEARCHES / f"{name}.json"


def is_study(path: str | Path) -> bool:
    """Does a folder hold a study."""
    return (Path(path) / STUDY).exists()


def _read_study(folder: Path) -> Study:
    path = folder / STUDY
    if not path.exists():
        raise UserError(f"{folder} is not the folder of a study: it has no {STUDY}; name another folder")
    content, head = read_head(path, LONGEST_STUDY, _Head)
    return read_rest(path, content, Study, lambda: Plan.from_dict(head.plan), study_problem)
