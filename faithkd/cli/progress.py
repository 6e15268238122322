"""How far a certification is: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from faithkd.certification.request import radius_label
from faithkd.cli.options import on_terminal, say

if TYPE_CHECKING:
    from faithkd.certification.job import Job
    from faithkd.certification.run import Step
    from faithkd.report.run_folder import RunFolder

EVERY = 5.0
"""Seconds between two plain lines."""


class Progress:
    """Shows the steps of a run; a context in which `step` may be called."""

    def __init__(self, job: Job, folder: RunFolder, quiet: bool = False) -> None:
        self._job, self._folder, self._quiet = job, folder, quiet
        self._bar: Any = None
        self._task: Any = None
        self._started = self._spoke = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> Progress:
        request = self._job.request
        radii = ", ".join(radius_label(eps) for eps in request.eps or ())
        if not self._quiet:
            say(
                f"{request.student} against {request.teacher} on {len(self._job.dataset)} images of {request.data}, "
                f"radius {radii} ({request.unit}), method {request.method}, in {self._folder.path}"
            )
        if on_terminal() and not self._quiet:
            self._bar, self._task = _bar(
                sum(len(part.rows) for part in self._job.parts()), len(self._folder.certificates())
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, step: Step) -> None:
        """Show that some more images are done."""
        assert self._job.request.unit is not None
        interval = f"radius {radius_label(step.eps, self._job.request.unit)}: mean interval [{step.emplb:.4f}, {step.faithub:.4f}]"
        if self._bar is not None:
            self._bar.update(self._task, completed=step.done, interval=interval)
        elif not self._quiet:
            self._line(step, interval)

    def _line(self, step: Step, interval: str) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = step.done
        if now - self._spoke < EVERY and step.done < step.total:
            return
        self._spoke = now
        since = step.done - self._first
        left = f", about {(now - self._started) / since * (step.total - step.done):.0f} s left" if since else ""
        say(
            f"{step.done} of {step.total} done; {interval}; {now - self._started:.0f} s{left if step.done < step.total else ''}"
        )


def _bar(total: int, done: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("[cyan]{task.fields[interval]}"),
        TimeRemainingColumn(),
    )
    bar = RichProgress(*columns, TextColumn("left"), console=Console(stderr=True))
    return bar, bar.add_task("certify", total=total, completed=done, interval="")
