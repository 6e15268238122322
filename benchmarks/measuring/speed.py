"""How fast the project is, and its peers on the same queries in the same run.

    python benchmarks/measuring/speed.py                      # everything, about three quarters of an hour; a stopped run continues
    python benchmarks/measuring/speed.py --only nodes peers   # some of it
    python benchmarks/measuring/speed.py --quick              # the same programs on little work: printed, never recorded
    python benchmarks/measuring/speed.py --device cuda        # what a GPU is used for: training, search, methods, nodes

One thread and one process (two processes for `five`, the training of a data set's networks), the embedded pairs, radii in normalised
units, regions cut with the pixel range. `seconds` is wall clock, `cpu_seconds` counts this process and its children: where they
differ much, the machine had other work and the row should be measured anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring import speed_bounds, speed_commands, speed_memory, speed_peers, speed_training
from benchmarks.measuring.record import Record, Task, measure_all
from benchmarks.measuring.speed_effort import Effort

FIGURES: dict[str, Callable[[Effort], list[Task]]] = {
    "commands": speed_commands.tasks,
    "search": speed_bounds.search_tasks,
    "methods": speed_bounds.method_tasks,
    "nodes": speed_bounds.node_tasks,
    "memory": speed_memory.tasks,
    "training": speed_training.tasks,
    "five": speed_training.five_tasks,
    "peers": speed_peers.tasks,
}
ON_A_DEVICE = ("search", "methods", "nodes", "training", "five")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FIGURES, help="these figures alone")
    parser.add_argument("--quick", action="store_true", help="little work, printed and not recorded")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where to compute")
    parser.add_argument("--again", action="store_true", help="forget what is recorded of the figures chosen")
    options = parser.parse_args()
    torch.set_num_threads(1)
    effort = Effort(options.quick, options.device)
    chosen = options.only or (FIGURES if options.device == "cpu" else ON_A_DEVICE)
    tasks = [task for figure in chosen for task in FIGURES[figure](effort)]
    if options.quick:
        for task in tasks:
            print(json.dumps({**task.key, **task.function(*task.arguments)}), flush=True)
        return
    record = Record("speed" if options.device == "cpu" else f"speed-{options.device}")
    if options.again:
        for figure in chosen:
            record.drop({"figure": figure})
    for row in measure_all(record, tasks):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
