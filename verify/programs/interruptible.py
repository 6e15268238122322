"""Solvers that any signal can end: they work in C, where Python's signals wait until the call returns.

Not for SCIP, which is not made to be used from several threads: it takes Ctrl-C for itself, and other signals wait for its time limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

R = TypeVar("R")

ASK_AGAIN = 0.1
"""Seconds: a solver that is told to stop before it has begun may not have heard it."""


def interruptible(solve: Callable[[], R], cancel: Callable[[], None]) -> R:
    """The result of `solve`, called in a thread of its own. What is raised here meanwhile stops it by `cancel`, and is raised then."""
    if threading.current_thread() is not threading.main_thread():
        return solve()
    result: Future[R] = Future()

    def work() -> None:
        try:
            result.set_result(solve())
        except BaseException as error:
            result.set_exception(error)

    # What is joined and interrupted counts as ended in Python 3.11; a future does not.
    threading.Thread(target=work, daemon=True).start()
    try:
        wait([result])
    except BaseException:
        while not result.done():
            cancel()
            wait([result], ASK_AGAIN)
        raise
    return result.result()
