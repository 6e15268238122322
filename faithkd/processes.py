"""Worker processes on this machine: they leave Ctrl-C to their parent, and end when it ends, however that comes about."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from faithkd import interrupts
from faithkd.errors import UserError
from faithkd.imports import imported, load_all

SPAWN = multiprocessing.get_context("spawn")
"""How they are started: each is a new interpreter, so that it shares no thread, lock or device with its parent."""
PATIENCE = 2.0
"""Seconds for a process to end by itself."""


@contextmanager
def workers(count: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes, ended with the block. prepare: called with the arguments in each before its first task.

    Raises `UserError` when one of them ends unexpectedly.
    """
    # Started by the pool it would let Ctrl-C through again.
    resource_tracker.ensure_running()
    pool = _Pool(count, SPAWN, initializer=_begin, initargs=(_Modules(), os.getpid(), prepare, arguments))
    try:
        yield pool
    except BrokenProcessPool as error:
        interrupts.check()
        raise UserError(
            "a worker process ended unexpectedly, perhaps for want of memory; continue with --resume and fewer --workers"
        ) from error
    finally:
        with interrupts.held():
            _end(list((pool._processes or {}).values()))
            pool.shutdown(wait=True, cancel_futures=True)


class _Pool(ProcessPoolExecutor):
    """One whose processes never hear Ctrl-C."""

    def submit(self, *task: Any, **options: Any) -> Future[Any]:
        with interrupts.blocked():
            return super().submit(*task, **options)


def _end(processes: Sequence[BaseProcess]) -> None:
    """End processes and what they have started; what does not listen is killed."""
    _send(processes, signal.SIGTERM)
    for process in processes:
        process.join(PATIENCE)
    _send([process for process in processes if process.is_alive()], signal.SIGKILL)


def _send(processes: Sequence[BaseProcess], number: signal.Signals) -> None:
    for process in processes:
        if process.pid is not None and process.is_alive():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)


class _Modules:
    """The modules that were imported by `faithkd.imports`: where it arrives, they are imported too, before what comes behind it."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Any, ...]]:
        return load_all, (imported(),)


def _begin(modules: object, parent: int, prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    # A group of its own: what it starts (CBC) hears no Ctrl-C either, and ends with it.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)
