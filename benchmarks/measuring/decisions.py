"""Certified agreement of the embedded pairs: images certified, refuted and undecided on the same 1,000 test images.

    python benchmarks/measuring/decisions.py --workers 2 --cells 'mnist/*/0.1' 'fashion-mnist/*/8/255'
    python benchmarks/measuring/decisions.py                                                             # every radius

Regions are cut with the pixel range, radii in normalised units; images are the first of the fixed permutation, in chunks of a row each.
Recorded chunks are not measured again unless `--again` is given.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

import verify

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.cells import Setting, cells
from benchmarks.measuring.record import Record, Row, Task, measure_all, timed

IMAGES, CHUNK = 1000, 100
STATUSES = ("certified", "refuted", "undecided")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=["*"], metavar="PATTERN", help="cells to measure: mnist/fd/0.1")
    parser.add_argument("--images", type=int, default=IMAGES, help="only the chunks of so many images of a cell")
    parser.add_argument("--workers", type=int, default=1, help="one-thread processes")
    parser.add_argument("--again", action="store_true", help="forget what is recorded of the cells chosen")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record("decisions")
    tasks = []
    for cell in cells(options.cells):
        if options.again:
            record.drop(cell.pair)
        for first in range(0, options.images, CHUNK):
            key = {"what": "agreement", **cell.pair, "first": first, "count": CHUNK}
            tasks.append(Task(key, decided, (replace(cell, images=IMAGES), slice(first, first + CHUNK))))
    for row in measure_all(record, tasks, options.workers):
        counts = ", ".join(f"{row[status]} {status}" for status in STATUSES)
        print(
            f"{row['dataset']}/{row['student']}/{row['eps']} from {row['first']}: {counts}, {row['cpu_seconds']:.1f} CPU s",
            flush=True,
        )


def decided(setting: Setting, part: slice) -> Row:
    """How many of some images are certified, refuted and undecided, and the places of the last in the sample."""
    problem = setting.problem(part)

    def compute() -> Row:
        status = verify.agreement(*problem).status
        open_places = [part.start + k for k, which in enumerate(status) if which == "undecided"]
        return {**{which: status.count(which) for which in STATUSES}, "open": open_places}

    return timed(compute)


if __name__ == "__main__":
    main()
