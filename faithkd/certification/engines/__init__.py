"""Where the parts of a job are done. An engine is one call: it takes the parts and yields each with what was proved, as they come."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from faithkd.certification.job import Job
from faithkd.errors import UserError
from faithkd.runs.arrays import Arrays
from faithkd.runs.parts import Part
from faithkd.runs.records import Certificate
from verify.joint.problem import Progress

Proved = tuple[Part, list[Certificate], Arrays]
Watch = Callable[[Part, Progress], None]

ENGINES = {"local": "faithkd.certification.engines.local", "ray": "faithkd.certification.engines.ray"}


class Engine(Protocol):
    """What every engine is called with.

    workers: parts that are worked on at once, one thread each; None for the engine's own number. watch: called in the caller's
    thread with what slow methods report from inside a part, wherever it is worked on. Whatever a part raises is raised here.
    """

    def __call__(self, job: Job, parts: Sequence[Part], workers: int | None, watch: Watch) -> Iterator[Proved]:
        """The parts in the order in which they are finished."""


def engine_named(name: str) -> Engine:
    """The engine of that name. Raises `UserError` when there is none, or when what it needs is not installed."""
    if name not in ENGINES:
        raise UserError(f"--engine must be one of {', '.join(ENGINES)}, but is {name!r}")
    try:
        module: Any = importlib.import_module(ENGINES[name])
    except ModuleNotFoundError as error:
        raise UserError(
            f"--engine {name} needs the package {error.name}; install it with: pip install 'faithkd[{name}]'"
        ) from error
    return module.prove  # type: ignore[no-any-return]
