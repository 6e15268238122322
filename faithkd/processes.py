"""Worker processes on this machine: they leave Ctrl-C to their parent, and end when it ends, however that comes about."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from faithkd.errors import UserError
from faithkd.imports import imported, load_all

SPAWN = multiprocessing.get_context("spawn")
"""How they are started: each is a new interpreter, so that it shares no thread, lock or device with its parent."""


@contextmanager
def workers(count: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes, ended with the block. prepare: called with the arguments in each before its first task.

    Raises `UserError` when one of them ends unexpectedly.
    """
    pool = ProcessPoolExecutor(count, SPAWN, initializer=_begin, initargs=(_Modules(), os.getpid(), prepare, arguments))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process ended unexpectedly, perhaps for want of memory; continue with --resume and fewer --workers"
        ) from error
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


class _Modules:
    """The modules that were imported by `faithkd.imports`: where it arrives, they are imported too, before what comes behind it."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Any, ...]]:
        return load_all, (imported(),)


def _begin(modules: object, parent: int, prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if prepare is not None:
        prepare(*arguments)
