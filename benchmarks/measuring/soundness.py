"""The soundness campaign: every bound, part of a proof and certificate of `verify` against an oracle that shares no code with it.

    python benchmarks/measuring/soundness.py --workers 2        # all of it, about an hour of two cores; what is recorded is not done again
    python benchmarks/measuring/soundness.py --quick            # a few hundred checks in under a minute, not recorded

The oracle (tests/oracle) knows logits as rationals and confidences to 70 digits; on one input it knows the exact pieces of both networks.
Each row is one kind of check on some cases of one family, with the compiled loops or without: how many checks, by method or part, and how
many of them failed. The exit status is 1 when any did.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.record import RESULTS, Record, Row, Task, measure_all, timed
from benchmarks.measuring.soundness_bounds import bounds, differences
from benchmarks.measuring.soundness_cuts import cuts
from benchmarks.measuring.soundness_decisions import decisions
from benchmarks.measuring.soundness_parts import heads, narrowing
from tests.oracle.families import FAMILIES

# Numbers of classes that the head is asked about: its vertices are counted up to ten classes.
HEADS = (2, 3, 4, 6, 9, 10, 11, 14)
# Families without a case of one input.
NO_DECISIONS = ("many",)
# Families whose cases take long: the part of the cases that is asked about.
SHARES = {"stacked": 4, "wide": 2, "batches": 4}
# For every kind of check: cases (or batches) of a family in all, those of one row, and those of a quick run.
COUNTS: dict[Callable[..., Row], tuple[int, int, int]] = {
    bounds: (40, 10, 1),
    differences: (60, 60, 1),
    cuts: (60, 30, 1),
    decisions: (140, 35, 1),
    heads: (16, 8, 1),
    narrowing: (24, 12, 1),
}
KINDS = {kind.__name__: kind for kind in COUNTS}


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case of each family, not recorded")
    parser.add_argument("--workers", type=int, default=1, help="one-thread processes")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="kinds of checks")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES, help="families of cases")
    parser.add_argument("--again", action="store_true", help="forget what is recorded of the kinds and families chosen")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = Record("soundness", Path(folder) if options.quick else RESULTS)
        tasks = list(planned(options.kinds, options.families, options.quick))
        if options.again:
            for task in tasks:
                record.drop(task.key)
        rows = [row for compiled in (True, False) for row in run(record, tasks, compiled, options.workers)]
    sys.exit(report(rows))


def planned(kinds: list[str], families: list[str], quick: bool) -> Iterator[Task]:
    """Every row, with the compiled loops and without; quickly, a family with one of both. The parts without loops only once."""
    for name in kinds:
        for place, family in enumerate(families_of(name, families)):
            total, chunk, few = (max(count // SHARES.get(str(family), 1), 1) for count in COUNTS[KINDS[name]])
            total, chunk = (few, few) if quick else (total, chunk)
            both = (place % 2 == 0,) if quick else (True, False)
            for compiled in (True,) if KINDS[name] in (heads, narrowing) else both:
                for first in range(0, total, chunk):
                    key = {"what": name, "family": family, "compiled": compiled, "first": first, "count": chunk}
                    yield Task(key, counted, (name, family, first, chunk))


def families_of(name: str, families: list[str]) -> list[str] | list[int]:
    """What a kind of check goes through: families of cases, or numbers of classes."""
    if KINDS[name] in (heads, narrowing):
        return list(HEADS)
    return [family for family in families if KINDS[name] is not decisions or family not in NO_DECISIONS]


def counted(name: str, family: str | int, first: int, count: int) -> Row:
    """A row's values, measured in a process of its own."""
    return timed(lambda: KINDS[name](family, first, count))


def run(record: Record, tasks: list[Task], compiled: bool, workers: int) -> Iterator[Row]:
    """The rows with the compiled loops, or those without and with sums in their plainest order, by processes that begin so."""
    os.environ.update({"FAITHKD_NATIVE": "1"} if compiled else {"FAITHKD_NATIVE": "0", "MKL_CBWR": "COMPATIBLE"})
    mine = [task for task in tasks if task.key["compiled"] == compiled]
    for row in measure_all(record, mine, workers, apart=True):
        print(line(row), flush=True)
        yield row


def line(row: Row) -> str:
    """A row in words."""
    failed = {name: row[name] for name in ("violations", "crashed") if name in row}
    code = "compiled" if row["compiled"] else "tensors"
    counts = (
        f"{sum(row.get('checks', {}).values()):,} checks, {failed or 'none failed'}, {row['cpu_seconds']:.1f} CPU s"
    )
    return "\n    ".join(
        [f"{row['what']}, {row['family']}, {code}, from {row['first']}: {counts}", *row.get("examples", ())]
    )


def report(rows: list[Row]) -> int:
    """Print the sums by kind and name; 1 if anything failed."""
    sums = {name: Counter[str]() for name in ("checks", "violations", "refused", "crashed")}
    for row in rows:
        for name, counts in sums.items():
            counts.update({f"{row['what']}: {key}": value for key, value in row.get(name, {}).items()})
    for key, value in sorted(sums["checks"].items()):
        print(
            f"{key}: {value:,} checks, {sums['violations'][key]} failed, {sums['refused'][key]} refused, {sums['crashed'][key]} crashed"
        )
    failed = sum((sums["violations"] + sums["crashed"]).values())
    print(f"{sum(sums['checks'].values()):,} checks, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    main()
