"""Seconds an epoch of every recipe of the paper's study, and of the five networks of a data set one after the other and side by side."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

import faithkd.data
from benchmarks.measuring.record import Row, Task, timed
from benchmarks.measuring.speed_effort import Effort
from faithkd import recipes, training
from faithkd.study.paper import STUDENTS
from faithkd.study.pool import Task as Job
from faithkd.study.pool import in_processes


def tasks(effort: Effort) -> list[Task]:
    """The teacher and the students of both data sets; a quick run trains one student on the embedded images."""
    datasets, names = effort.of(("mnist", "fashion-mnist"), ("mnist",)), effort.of(("teacher", *STUDENTS), ("fd",))
    epochs = effort.of(4, 2)
    return [
        Task({"figure": "training", "recipe": f"{dataset}-{name}", "epochs": epochs}, trained, (f"{dataset}-{name}", epochs, effort))
        for dataset in datasets
        for name in names
    ]  # fmt: skip


def trained(name: str, epochs: int, effort: Effort) -> Row:
    """The median epoch but for the first, held-out accuracies included; the radius grows as it does in the whole recipe's first epochs."""
    recipe = replace(recipes.load(name), epochs=epochs, held_out=effort.of(5000, 100))
    data = faithkd.data.load(f"{recipe.dataset}{effort.of('', '-sample')}", split=effort.of("train", "test"))
    teacher = None if name.endswith("teacher") else f"{recipe.dataset}-teacher"
    ends: list[float] = []

    def progress(epoch: int, batch: int, metrics: Mapping[str, float]) -> None:
        if "held_out_clean" in metrics:
            if effort.device == "cuda":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        training.train(
            recipe, data, Path(folder) / "network.safetensors", teacher=teacher, device=effort.device, progress=progress
        )
    seconds = [later - earlier for earlier, later in pairwise(ends)]
    return {"images": len(data), "seconds_an_epoch": round(median(seconds), 3)}


def five_tasks(effort: Effort) -> list[Task]:
    """The whole training of a data set's networks; a quick run trains each for an epoch on the embedded images."""
    epochs, processes = effort.of(25, 1), 2
    return [
        Task({"figure": "five", "dataset": dataset, "epochs": epochs, "processes": processes}, five, (dataset, epochs, processes, effort))
        for dataset in effort.of(("mnist", "fashion-mnist"), ("mnist",))
    ]  # fmt: skip


def five(dataset: str, epochs: int, processes: int, effort: Effort) -> Row:
    """The teacher, then the students side by side, those that take longest first; the start of the processes and the files included."""

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    def compute() -> Row:
        with tempfile.TemporaryDirectory() as folder:
            jobs = {name: Job(name, one, (dataset, name, epochs, folder, effort)) for name in ("teacher", *STUDENTS)}
            teacher = jobs.pop("teacher")
            in_processes([teacher], 1, say)
            in_processes(list(reversed(jobs.values())), processes, say)
        return {}

    return timed(compute)


def one(dataset: str, name: str, epochs: int, folder: str, effort: Effort) -> None:
    """Train one network of the five into the folder."""
    torch.set_num_threads(1)
    recipe = recipes.load(f"{dataset}-{name}")
    # Of a few images the first epoch has too few steps to learn anything, unless the batches are small.
    recipe = replace(recipe, epochs=epochs, held_out=effort.of(5000, 100), batch_size=effort.of(recipe.batch_size, 8))
    data = faithkd.data.load(f"{dataset}{effort.of('', '-sample')}", split=effort.of("train", "test"))
    out, teacher = (Path(folder) / f"{which}.safetensors" for which in (name, "teacher"))
    training.train(recipe, data, out, teacher=None if name == "teacher" else teacher, device=effort.device)
