"""Doing the parts of a job by an engine, and keeping what they prove in the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from faithkd import interrupts
from faithkd.certification.checking import checked
from faithkd.certification.engines import engine_named
from faithkd.certification.job import Job
from faithkd.certification.tally import Step, Tally
from faithkd.runs.environment import environment
from faithkd.runs.folder import RunFolder
from faithkd.runs.parts import Part
from faithkd.runs.reading import read_run
from faithkd.runs.records import FORMAT, Summary
from verify.joint.problem import Progress


def certify(
    job: Job,
    folder: RunFolder,
    *,
    engine: str = "local",
    workers: int | None = None,
    progress: Callable[[Step], None] | None = None,
) -> Summary:
    """Do the parts that the run folder does not hold yet; returns the summary, which is saved there too, and closes the folder.

    engine: a name of `engines.ENGINES`. workers: parts that are done at once, one thread each; None for the engine's own number. The
    results depend on neither. Whatever ends this, the folder stays readable and the next call goes on from there. Raises
    `UserError` when the engine cannot be had or loses its workers, and when the folder holds what the job cannot have found.
    """
    with folder:
        prove = engine_named(engine)
        run = checked(job, read_run(folder.path))
        if (folder.summary.format, folder.summary.state) == (FORMAT, "complete"):
            return folder.summary
        parts = job.parts()
        started, before = time.perf_counter(), run.summary.wall_seconds
        with interrupts.held():
            stored = folder.begin(run, [(part.name, job.keys(part)) for part in parts])
        finished = {part.digests.part for part in stored}
        tally = Tally(sum(len(part.rows) for part in parts), [line for part in stored for line in part.certificates])

        def watch(part: Part, method: Progress) -> None:
            interrupts.check()
            if progress is not None:
                progress(tally.within(part, method))

        def seconds() -> float:
            return before + time.perf_counter() - started

        try:
            todo = [part for part in parts if part.name not in finished]
            for part, certificates, arrays in prove(job, todo, workers, watch) if todo else ():
                with interrupts.held():
                    folder.append(part.name, certificates, arrays)
                interrupts.check()
                step = tally.finished(part, certificates)
                if progress is not None:
                    progress(step)
            with interrupts.held():
                folder.complete(seconds())
        except KeyboardInterrupt:
            with interrupts.held():
                folder.stop("interrupted", seconds())
            raise
        except BaseException:
            with interrupts.held():
                folder.stop("interrupted" if interrupts.asked() else "failed", seconds())
            raise
        return folder.summary


def new_folder(job: Job, path: str | Path) -> RunFolder:
    """A run folder for a job that has not begun."""
    return RunFolder.create(
        path,
        Summary(
            state="running",
            request=job.request,
            valid_range=job.dataset.valid_range,
            checksums=job.checksums,
            environment=environment(job.request.device),
            scale=job.scale,
            image_shape=job.dataset.image_shape,
            classes=job.classes,
        ),
    )
