"""The measurements behind the tables beside the paper's Tables 1 and 2, on the embedded networks.

    python benchmarks/measuring/paper_tables.py mnist            # accuracies, agreement, EMPLB and FAITHUB by crown, 1,000 images
    python benchmarks/measuring/paper_tables.py mnist --programs # lp-boxes, lp and milp at the three smallest radii, 100 images

Needs the full data set (`FAITHKD_DATA`) for clean accuracies. Recorded rows are not measured again, so a stopped run continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

import faithkd
import faithkd.data
import verify
from faithkd.metrics import accuracy, decisions, empirical_agreement, robust_accuracy
from faithkd.study.paper import RADII, STUDENTS

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.cells import Setting, checksums, finished
from benchmarks.measuring.record import Record, Row, Task, measure_all, timed

REGIONS = {"cut": (0.0, 1.0), "whole": None}
NETWORKS = ("teacher", *STUDENTS)
METHODS = ("lp-boxes", "crown", "lp", "milp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=RADII)
    parser.add_argument("--programs", action="store_true", help="lp-boxes, lp and milp instead of the 1,000-image part")
    parser.add_argument("--timeout", type=float, default=10.0, help="milp: seconds an image")
    parser.add_argument("--radius", action="append", help="programs: these of the three radii only")
    parser.add_argument("--workers", type=int, default=1, help="one-thread processes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.programs:
        record = Record(f"paper-programs-{options.dataset}")
        tasks = program_tasks(options.dataset, options.radius or list(RADII[options.dataset])[:3], options.timeout)
    else:
        record, tasks = Record(f"paper-tables-{options.dataset}"), table_tasks(options.dataset)
    if record.find({"what": "networks"}) is None:
        record.add({"what": "networks", **checksums(options.dataset)})
    for row in measure_all(record, tasks, options.workers):
        print(json.dumps(row), flush=True)


def table_tasks(dataset: str) -> list[Task]:
    """Clean and robust accuracy and agreement of every network, and the intervals of every student by `crown`."""
    tasks = [Task({"what": "clean", "network": name}, clean, (dataset, name)) for name in NETWORKS]
    for region in REGIONS:
        for eps in RADII[dataset]:
            for name in NETWORKS:
                key = {"what": "robust", "network": name, "region": region, "eps": eps}
                tasks.append(Task(key, robust, (Setting(dataset, name, eps, 1000), region)))
            for name in STUDENTS:
                tasks.append(interval_task(Setting(dataset, name, eps, 1000), region, "crown"))
    return tasks


def program_tasks(dataset: str, radii: list[str], timeout: float) -> list[Task]:
    """The intervals of every student by the programs, `milp` with a limit of seconds an image."""
    settings = [Setting(dataset, name, eps, 100) for eps in radii for name in STUDENTS]
    return [
        interval_task(setting, "cut", method, timeout, timeout=timeout if method == "milp" else None)
        for setting in settings
        for method in METHODS
    ]


def interval_task(setting: Setting, region: str, method: str, seconds: float = 30.0, **limit: float | None) -> Task:
    key = {"what": "faithub", "network": setting.student, "region": region, "eps": setting.eps, "method": method}
    return Task({**key, "images": setting.images, **limit}, interval, (setting, region, method, seconds))


def clean(dataset: str, name: str) -> Row:
    """Accuracy and agreement with the teacher on 1,000 test images, and accuracy on all."""
    model, teacher = (faithkd.load(f"{dataset}-{which}") for which in (name, "teacher"))
    whole = faithkd.data.load(dataset, split="test")
    images, labels = whole.sample(1000, seed=0)
    return timed(
        lambda: {
            "accuracy": accuracy(model, images, labels),
            "accuracy_full": accuracy(model, *whole),
            "agreement": float((decisions(teacher, images) == decisions(model, images)).double().mean()),
        }
    )


def robust(setting: Setting, region: str) -> Row:
    """Robust, certified and agreeing shares; of the teacher with itself too."""
    teacher, model, images, eps = setting.problem()
    labels = faithkd.data.load(f"{setting.dataset}-sample", split="test").sample(setting.images, seed=0).labels
    cut = {"valid_range": REGIONS[region]}

    def compute() -> Row:
        held = robust_accuracy(model, images, labels, eps, **cut).shares()
        agree = empirical_agreement(teacher, model, images, eps, **cut).shares()
        return {
            "robust_accuracy": held["every"],
            "robust_accuracy_last": held["last"],
            "certified_accuracy": verify.robustness(model, images, labels, eps, **cut).share("certified"),
            "agreement": agree["every"],
            "agreement_last": agree["last"],
        }

    return timed(compute)


def interval(setting: Setting, region: str, method: str, timeout: float) -> Row:
    """EMPLB by both searches, FAITHUB, and how the images ended."""
    problem = setting.problem()

    def compute() -> Row:
        result = finished(verify.faithfulness(*problem, valid_range=REGIONS[region], method=method, timeout=timeout))
        return {
            **{name: statistics(getattr(result, name)) for name in ("paper_emplb", "emplb", "faithub")},
            "status": {status: result.status.count(status) for status in sorted(set(result.status))},
        }

    return timed(compute)


def statistics(values: torch.Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std(correction=0))}


if __name__ == "__main__":
    main()
