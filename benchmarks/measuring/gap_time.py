"""Gap against time on the same 50 images for the methods beyond `crown`, and how soon `complete` is where the prototype was.

    python benchmarks/measuring/gap_time.py                       # MNIST, fd, 0.1; then the prototype's settings; then the figure
    python benchmarks/measuring/gap_time.py --only curves --pair fashion-mnist/fd/8/255
    python benchmarks/measuring/gap_time.py --only prototype      # or: figure

One thread, regions cut with the pixel range, radii in normalised units. Time is CPU seconds of the whole call, both searches for EMPLB and
the cheaper methods of the chain included. `complete` is run once and reports about every second; the programs are run anew with
each of several limits, ten images at a time. Rows that are recorded are not measured again.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from math import fsum
from pathlib import Path

import torch

import verify

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.cells import Setting, finished
from benchmarks.measuring.curves import METHODS, draw
from benchmarks.measuring.record import ROOT, Record, Row, Task, measure_all, timed

FIGURE = ROOT / "docs" / "figures" / "gap-time"
IMAGES, PART, GAP = 50, 10, 0.01
SINGLE = ("crown", "alpha-crown", "joint")
PROGRAMS = ("milp", "minlp")
LIMITS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LONGEST = 10.0
# A report of `complete` is kept when so many times the time of the last has passed.
TRACE_STEP = 1.1
# Enough to tell a gap of 0.01 from what `complete` stops at, a millionth less.
DIGITS = 9


@dataclass(frozen=True)
class Prototype:
    """What branch and bound closed before this project, on its own networks of the same sizes: `closed` of the images in `seconds`."""

    pair: str
    images: int
    gap: float
    seconds: float
    closed: int
    threads: int


PROTOTYPE = (
    Prototype("mnist/ard/0.025", 50, 0.01, 2.4, 50, 2),
    Prototype("mnist/ard/0.05", 50, 0.01, 6.8, 50, 2),
    Prototype("mnist/ard/0.1", 50, 0.01, 60.0, 38, 2),
    Prototype("mnist/fd/0.1", 24, 0.005, 420.0, 11, 1),
    Prototype("fashion-mnist/fd/8/255", 24, 0.005, 420.0, 13, 1),
    Prototype("fashion-mnist/sd/4/255", 24, 0.005, 48.0, 24, 1),
)


@dataclass(frozen=True)
class Run:
    """A method on `count` images of a pair from `first` on, to a gap, with seconds an image or None for no limit."""

    pair: str
    method: str
    timeout: float | None
    gap: float
    first: int
    count: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="mnist/fd/0.1", help="data set, student and radius: mnist/fd/0.1")
    parser.add_argument("--only", choices=("curves", "prototype", "figure"), help="this part only")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--longest", type=float, default=LONGEST, help="no limit of more seconds an image")
    parser.add_argument("--workers", type=int, default=1, help="one-thread processes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record("gap-time")
    tasks = []
    if options.only in (None, "curves"):
        runs = curve_runs(options.pair, options.methods, options.longest)
        tasks += [Task({"what": "curve", **asdict(run)}, bound, (run,)) for run in runs]
    if options.only in (None, "prototype"):
        tasks += [catching_up(setting) for setting in PROTOTYPE]
    for row in measure_all(record, tasks, options.workers):
        print(described(row), flush=True)
    if options.only != "prototype":
        draw(record.rows, FIGURE)


def curve_runs(pair: str, methods: list[str], longest: float) -> list[Run]:
    """All images at once but for the programs, which have each limit in turn."""
    runs = [Run(pair, method, None, GAP, 0, IMAGES) for method in SINGLE]
    runs.append(Run(pair, "complete", longest, GAP, 0, IMAGES))
    for timeout in (limit for limit in LIMITS if limit <= longest):
        for method in PROGRAMS:
            runs += [Run(pair, method, timeout, GAP, first, PART) for first in range(0, IMAGES, PART)]
    return [run for run in runs if run.method in methods]


def catching_up(setting: Prototype) -> Task:
    """`complete` on the prototype's setting, for no longer than it had."""
    run = Run(setting.pair, "complete", setting.seconds / setting.images, setting.gap, 0, setting.images)
    prototype = {
        "prototype_closed": setting.closed,
        "prototype_seconds": setting.seconds,
        "prototype_threads": setting.threads,
    }
    return Task({"what": "prototype", **asdict(run), **prototype}, bound, (run,))


def bound(run: Run) -> Row:
    """The bounds of a run, the time that it took, and of `complete` what it reported meanwhile."""
    images = run.first + run.count
    problem = Setting(*run.pair.split("/", 2), images).problem(slice(run.first, images))
    started = time.process_time()
    trace: list[list[float]] = []

    def watch(now: verify.Progress) -> None:
        seconds = time.process_time() - started
        if not trace or seconds >= TRACE_STEP * trace[-1][0]:
            trace.append([round(seconds, 3), round(now.faithub, 6), now.images])

    def compute() -> Row:
        limits = {} if run.timeout is None else {"timeout": run.timeout}
        progress = watch if run.method == "complete" else None
        result = finished(verify.faithfulness(*problem, method=run.method, gap=run.gap, progress=progress, **limits))
        return {
            "emplb": [round(value, DIGITS) for value in result.emplb.tolist()],
            "faithub": [round(value, DIGITS) for value in result.faithub.tolist()],
            "closed": result.status.count("closed"),
            "nodes": int(result.nodes.sum()),
            "trace": trace,
        }

    return timed(compute)


def described(row: Row) -> str:
    """A run in one line."""
    limit = "" if row["timeout"] is None else f", {row['timeout']:g} s an image"
    gap = (fsum(row["faithub"]) - fsum(row["emplb"])) / row["count"]
    return (
        f"{row['pair']} {row['method']}{limit}, images from {row['first']}: gap {gap:.4f}, {row['closed']} of {row['count']} closed to "
        f"{row['gap']:g}, {row['cpu_seconds'] / row['count']:.3f} CPU s an image"
    )


if __name__ == "__main__":
    main()
