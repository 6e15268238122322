"""Independent tasks in worker processes, one thread each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

from faithkd import interrupts, processes


@dataclass(frozen=True)
class Task:
    """A call that another process can make: a function of a module, and its arguments."""

    name: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]


def in_processes(tasks: Sequence[Task], workers: int, say: Callable[[str], None]) -> None:
    """Do the tasks, here where one worker is enough; `say` is told of each that ends. Whatever ends this ends the workers."""
    started = time.monotonic()

    def done(name: str) -> None:
        say(f"  {name}: done after {time.monotonic() - started:.0f} s")

    if min(workers, len(tasks)) <= 1:
        for task in tasks:
            interrupts.check()
            task.function(*task.arguments)
            done(task.name)
        return
    with processes.workers(min(workers, len(tasks))) as pool:
        futures = {pool.submit(task.function, *task.arguments): task.name for task in tasks}
        for future in as_completed(futures):
            future.result()
            done(futures[future])
