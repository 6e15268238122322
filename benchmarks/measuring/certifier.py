"""FAITHUB by `complete` on the embedded pairs, beside `crown` and the bound before branching, to a gap of 0.01.

    python benchmarks/measuring/certifier.py --workers 2                                  # all cells, hours; a stopped run continues
    python benchmarks/measuring/certifier.py --workers 2 --cells 'mnist/*/0.1' 'fashion-mnist/fd/*' --timeout 5
    python benchmarks/measuring/certifier.py --cells mnist/fd/0.1 --images 100 --again    # measure what is recorded anew

A cell is a data set, a student and a radius in normalised units; regions are cut with the pixel range. Images are the first of the
fixed permutation, in chunks of one row each. `--workers` is the number of one-thread processes; a time limit is seconds of one core an
image. Recorded chunks are not measured again; a cell keeps one time limit, so another one needs `--again`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import verify
from faithkd.study.paper import RADII

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.cells import Cell, cells, checksums, finished, together
from benchmarks.measuring.record import Record, Row, Task, matches, measure_all, timed

GAP = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=["*"], metavar="PATTERN", help="cells to measure: mnist/fd/0.1")
    parser.add_argument("--images", type=int, help="only the chunks of so many images of a cell")
    parser.add_argument("--timeout", type=float, help="seconds of one core an image, for every cell chosen")
    parser.add_argument("--workers", type=int, default=1, help="one-thread processes")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--again", action="store_true", help="forget what is recorded of the cells chosen")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = cells(options.cells)
    if not chosen:
        parser.error(
            f"no cell is called like {' or '.join(options.cells)}; all are {', '.join(c.name for c in cells())}"
        )
    name = "certifier" if options.device == "cpu" else f"certifier-{options.device}"
    record = Record(name)
    for dataset in RADII:
        if record.find({"what": "networks", "dataset": dataset}) is None:
            record.add({"what": "networks", "dataset": dataset, **checksums(dataset)})
    tasks = []
    for cell in chosen:
        cell = replace(cell, timeout=options.timeout or cell.timeout)
        if options.again:
            record.drop(cell.pair)
        other = {row["timeout"] for row in record.rows if matches(row, {"what": "chunk", **cell.pair})}
        if other - {cell.timeout}:
            parser.error(
                f"{cell.name} is recorded with a time limit of {min(other):g} s, not {cell.timeout:g} s: give --again"
            )
        parts = [part for part in cell.chunks() if part.start < (options.images or cell.images)]
        tasks += [chunk_task(cell, part, options.device, options.workers) for part in parts]
    done: dict[str, list[Row]] = {}
    for row in measure_all(record, tasks, options.workers):
        rows = done.setdefault(f"{row['dataset']}/{row['student']}/{row['eps']}", [])
        rows.append(row)
        print(progress_line(row, together(rows)), flush=True)


def chunk_task(cell: Cell, part: slice, device: str, workers: int) -> Task:
    key = {"what": "chunk", **cell.pair, "first": part.start, "count": part.stop - part.start}
    return Task(key, chunk, (cell, part, device, workers))


def chunk(cell: Cell, part: slice, device: str, workers: int) -> Row:
    """The bounds of some images of a cell, each rounded to 4 digits; only `complete`, with its searches, counts as time."""
    problem = cell.problem(part, device)

    def complete() -> Row:
        result = finished(verify.faithfulness(*problem, method="complete", gap=GAP, timeout=cell.timeout))
        return {
            **{name: rounded(getattr(result, name)) for name in ("emplb", "root", "faithub")},
            "nodes": result.nodes.tolist(),
            "status": {status: result.status.count(status) for status in sorted(set(result.status))},
        }

    crown = verify.faithfulness(*problem, method="crown", search=False)
    started = round(time.time(), 1)
    return {
        "gap": GAP,
        "timeout": cell.timeout,
        "workers": workers,
        "crown": rounded(crown.faithub),
        "started": started,
        **timed(complete),
    }


def rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def progress_line(row: Row, cell: Row) -> str:
    """A chunk, and the means of its cell so far."""
    return (
        f"{row['dataset']}/{row['student']}/{row['eps']} from {row['first']}: {row['seconds']:.0f} s {row['status']}; "
        f"{cell['images']} images: EMPLB {cell['emplb']:.4f} FAITHUB {cell['faithub']:.4f} ratio {cell['faithub_ratio']:.3f} "
        f"(root {cell['root_ratio']:.2f}, crown {cell['crown_ratio']:.2f}) closed {100 * cell['closed']:.1f} % "
        f"gap {cell['gap']:.4f} {cell['core_seconds']:.2f} core s an image, {cell['nodes']:,} nodes"
    )


if __name__ == "__main__":
    main()
