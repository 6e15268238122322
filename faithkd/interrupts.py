"""Ctrl-C and its like: each counts, once, whenever it comes, and ends the program in order.

Python turns SIGINT into an exception that may come up anywhere, and is lost where it comes up inside what swallows exceptions: a
callback of a weak reference, a `__del__`, a library. So the wish is kept beside the exception: an exception that was lost is raised again,
and a program that was asked to end says so by its exit status, however it came to its end. Only the command line installs this;
elsewhere SIGINT is what the caller has made of it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME = 5.0
"""Seconds in which a further signal is the same wish: the process and its group may both be sent one, and people press twice."""
SHOW_CURSOR = "\x1b[?25h"
"""A bar may have hidden it."""
AGAIN = 0.05
"""Seconds after which an exception that was lost is raised again."""


class _Wish:
    """What this process was asked: by which signal, first when; how many blocks hold it off, and whether one of them has to pass it on."""

    number: int | None = None
    since = 0.0
    held = 0
    waits = False
    ended = False


_wish = _Wish()


def install() -> None:
    """Take the signals, but for those that this process was told to ignore (`nohup`). Main thread only."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _received)
    signal.signal(signal.SIGALRM, _once_more)
    sys.unraisablehook = _lost


def asked() -> bool:
    """Has this process been asked to end."""
    return _wish.number is not None


def status() -> int:
    """The exit status of a program that was asked to end: 130 for Ctrl-C."""
    return 128 + (_wish.number or signal.SIGINT)


def check() -> None:
    """Raise `KeyboardInterrupt` when this process has been asked to end and what it was working on has gone on all the same."""
    if asked():
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """A block that is done as a whole: a wish to end that comes during it is raised at its end."""
    _wish.held += 1
    try:
        yield
    finally:
        _wish.held -= 1
    if _wish.waits and not _wish.held:
        _wish.waits = False
        raise KeyboardInterrupt


@contextmanager
def blocked() -> Iterator[None]:
    """Processes that are started in the block begin deaf to Ctrl-C, before their first instruction; here it comes at the block's end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end(code: int) -> NoReturn:
    """End the process with this status, or with that of a signal, also of one that comes now.

    Python's own end would first give the signals back and then take its modules apart, for some tenths of a second: a Ctrl-C in that
    time would be a death by signal. So what is registered for the end is done, what is to be written is written, and that is all.
    """
    _wish.ended = True
    atexit._run_exitfuncs()
    _flush()
    ctypes.CDLL(None).fflush(None)
    os._exit(status() if asked() else code)


def _received(number: int, frame: FrameType | None) -> None:
    if _wish.number is None:
        _wish.number, _wish.since = number, time.monotonic()
        if _wish.ended:
            _leave()
        _raise()
    elif time.monotonic() - _wish.since > SAME:
        # Asked twice: nothing is lost by it, a run goes on from what its files say.
        _leave()


def _once_more(number: int, frame: FrameType | None) -> None:
    if asked():
        _raise()


def _raise() -> None:
    if _wish.held:
        _wish.waits = True
    else:
        raise KeyboardInterrupt


def _leave() -> NoReturn:
    if sys.stderr.isatty():
        sys.stderr.write(SHOW_CURSOR)
    _flush()
    os._exit(status())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _lost(lost: Any) -> None:
    """An exception that Python cannot pass on; one of ours comes again, outside of what has swallowed it."""
    if asked() and issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
    else:
        sys.__unraisablehook__(lost)
