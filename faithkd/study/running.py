"""Doing what a study's folder does not hold yet: networks, searches, certificates, planes."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import faithkd
from faithkd.certification import certify, new_folder, prepare
from faithkd.certification.questions import questions, slow_code
from faithkd.errors import UserError
from faithkd.imports import as_options
from faithkd.runs.environment import environment
from faithkd.runs.folder import RunFolder
from faithkd.runs.layout import SUMMARY
from faithkd.runs.records import FORMAT
from faithkd.study import networks as known
from faithkd.study.certified import certified, certified_run
from faithkd.study.folder import StudyFolder
from faithkd.study.plan import REGIONS, Plan
from faithkd.study.plane import measure_plane
from faithkd.study.pool import Task, in_processes
from faithkd.study.searches import drawn, measure

if TYPE_CHECKING:
    from faithkd.certification.tally import Step

Say = Callable[[str], None]

SMALL = 200
"""Images up to which a study's run folders are made side by side: to start processes for each would take longer than its work. In
larger studies they are made one after the other, each by all workers."""


def begin(plan: Plan, path: str | Path) -> StudyFolder:
    """The folder of a study that has not begun. Raises `UserError` when its images cannot be had or the folder is in use."""
    drawn(plan)
    return StudyFolder.create(path, plan, environment(plan.device))


def run(folder: StudyFolder, *, workers: int = 1, say: Say = lambda message: None) -> None:
    """Do the rest of a study. Whatever ends this, the folder can be read and the next call goes on from there.

    Raises `UserError` when a network is missing or has changed since the study began, and when another process works on it.
    """
    with folder.session(workers):
        plan = folder.plan
        names = known.resolve(plan, folder.path, workers, say)
        _remember(folder, names)
        doubts = questions(faithkd.load(names["teacher"]), drawn(plan), _in_pixels(plan), names["teacher"])
        for line in (*slow_code(), *doubts):
            say(f"Note: {line}")
        searches, certificates = _searches(folder, names), _certificates(folder, names)
        say(
            f"{plan.dataset}, {plan.images} images, left to do: {len(searches)} searches of accuracy, agreement and EMPLB, and "
            f"{len(certificates)} pairs and kinds of region with {plan.images * len(plan.eps)} intervals each"
        )
        if plan.images <= SMALL:
            in_processes([*searches, *certificates], workers, say)
        else:
            in_processes(searches, workers, say)
            for task in reversed(certificates):
                say(f"  {task.name}")
                task.function(*task.arguments, workers, say)
        if folder.planes() is None:
            measure_plane(folder, certified(folder), names)


def _in_pixels(plan: Plan) -> dict[str, float]:
    return {label: eps * plan.std for label, eps in plan.labels.items()}


def _remember(folder: StudyFolder, names: dict[str, str]) -> None:
    """Keep which networks these are; refuse others than the study began with."""
    networks = known.describe(names, folder.plan.std)
    for name, before in folder.record.networks.items():
        if before.sha256 != networks[name].sha256:
            raise UserError(
                f"the {name} ({names[name]}) changed since the study in {folder.path} began; start another one with another --out"
            )
    folder.remember(networks)


def _searches(folder: StudyFolder, names: dict[str, str]) -> list[Task]:
    """The records of searches that are not there yet."""
    return [
        Task(f"{name}, {_words(region)}: searches", measure, (folder, names, name, region))
        for region in REGIONS
        for name in ("teacher", *folder.plan.students)
        if folder.search(name, region) is None
    ]


def _certificates(folder: StudyFolder, names: dict[str, str]) -> list[Task]:
    """The run folders that are not complete, or are of an older format, those that take longest first."""
    cells = [(student, region) for region in REGIONS for student in folder.plan.students]
    return [
        Task(f"{student}, {_words(region)}: certificates", _certify, (folder, names, (student, region)))
        for student, region in reversed(cells)
        if (run := certified_run(folder, student, region)) is None
        or (run.summary.format, run.summary.state) != (FORMAT, "complete")
    ]


def _words(region: str) -> str:
    return "regions cut" if REGIONS[region] else "regions not cut"


def _certify(
    folder: StudyFolder, names: dict[str, str], which: tuple[str, str], workers: int = 1, say: Say | None = None
) -> None:
    """Certify one student on one kind of region, or what is left of it."""
    path, (student, region) = folder.run_path(*which), which
    job = prepare(folder.plan.request(names["teacher"], names[student], region))
    runs = RunFolder.open(path) if (path / SUMMARY).exists() else new_folder(job, path)
    certify(job, runs, workers=workers, progress=None if say is None else _Shares(say).step)


class _Shares:
    """Says how far a certification is, at every fifth of it."""

    def __init__(self, say: Say) -> None:
        self._say, self._next, self._started = say, 0.2, time.monotonic()

    def step(self, step: Step) -> None:
        """Called after every part, and within the parts of slow methods."""
        share = step.done / step.total
        if share >= self._next:
            self._next = math.floor(5 * share + 1e-9) / 5 + 0.2
            self._say(f"    {step.done} of {step.total} intervals, {time.monotonic() - self._started:.0f} s")


def resume_command(folder: StudyFolder) -> str:
    """What continues a study."""
    return f"faithkd benchmark {folder.plan.dataset} --resume --out {shlex.quote(str(folder.path))}{as_options()}"
