"""How far a certification is: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from faithkd.cli.options import on_terminal, say
from faithkd.runs.request import radius_label

if TYPE_CHECKING:
    from faithkd.certification.job import Job
    from faithkd.certification.tally import Step
    from faithkd.runs import RunFolder

EVERY = 10.0
"""Seconds between two plain lines."""


class Progress:
    """Shows the steps of a run; a context in which `step` may be called."""

    def __init__(self, job: Job, folder: RunFolder, quiet: bool = False) -> None:
        self._job, self._folder, self._quiet = job, folder, quiet
        self._bar: Any = None
        self._task: Any = None
        self._started = self._spoke = time.monotonic()

    def __enter__(self) -> Progress:
        request = self._job.request
        radii = ", ".join(radius_label(eps) for eps in request.eps or ())
        if not self._quiet:
            say(
                f"{request.student} against {request.teacher} on {len(self._job.dataset)} images of {request.data}, "
                f"radius {radii} ({request.unit}), method {request.method}, in {self._folder.path}"
            )
        if on_terminal() and not self._quiet:
            self._bar, self._task = _bar(sum(len(part.rows) for part in self._job.parts()))
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, step: Step) -> None:
        """Show how far the run is."""
        now = time.monotonic()
        seconds = now - self._started
        if self._bar is not None:
            self._bar.update(self._task, completed=step.done, state=f"{_state(step, seconds)}{_left(step, seconds)}")
        elif not self._quiet and (now - self._spoke >= EVERY or step.done == step.total):
            self._spoke = now
            say(
                f"{step.done} of {step.total} done; radius {_state(step, seconds)}; {seconds:.0f} s{_left(step, seconds)}"
            )


def _state(step: Step, seconds: float) -> str:
    """The mean interval at the radius in work, images that no work can close any more, and the speed."""
    state = f"{radius_label(step.eps)}: mean [{step.emplb:.4f}, {step.faithub:.4f}]"
    if step.unclosed:
        state += f", {step.unclosed} not closed"
    return f"{state}, {step.nodes / seconds:.0f} nodes/s" if step.nodes and seconds > 0 else state


def _left(step: Step, seconds: float) -> str:
    """The time that the rest will take, at the speed of this session."""
    since = step.done - step.before
    if since <= 0 or step.done == step.total:
        return ""
    return f", about {_duration(seconds / since * (step.total - step.done))} left"


def _duration(seconds: float) -> str:
    """Two units at most: `45 s`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _bar(total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (MofNCompleteColumn(), BarColumn(bar_width=12), TextColumn("[cyan]{task.fields[state]}"))
    bar = RichProgress(*columns, console=Console(stderr=True))
    return bar, bar.add_task("certify", total=total, state="")
