"""The measurements behind the tables beside the paper's Tables 1 and 2, on the embedded networks.

    python benchmarks/paper_tables.py mnist            # accuracies, agreement, EMPLB and FAITHUB by crown, 1,000 images
    python benchmarks/paper_tables.py mnist --programs # lp-boxes, lp and milp at the three smallest radii, 100 images

Needs the full data set (`FAITHKD_DATA`). Rows that are recorded are not measured again, so a stopped run continues.
"""

from __future__ import annotations

import argparse

import torch
from paper import RADII, STUDENTS
from record import Record

import faithkd
import faithkd.data
import verify
from faithkd.checkpoint import find, sha256
from faithkd.metrics import accuracy, empirical_agreement, robust_accuracy

REGIONS = {"cut": (0.0, 1.0), "whole": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=RADII)
    parser.add_argument("--programs", action="store_true", help="lp-boxes, lp and milp instead of the 1,000-image part")
    parser.add_argument("--timeout", type=float, default=10.0, help="milp: seconds an image")
    parser.add_argument("--radius", action="append", help="programs: these of the three radii only")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.programs:
        programs(options.dataset, options.timeout, options.radius)
    else:
        searches_and_crown(options.dataset)


def searches_and_crown(dataset: str) -> None:
    record = Record(f"paper-tables-{dataset}")
    sample = faithkd.data.load(dataset, split="test").sample(1000, seed=0)
    images, labels = sample
    teacher = faithkd.load(f"{dataset}-teacher")
    students = {name: faithkd.load(f"{dataset}-{name}") for name in STUDENTS}
    whole = faithkd.data.load(dataset, split="test")
    record.measure(
        {"what": "networks"}, lambda: {name: sha256(find(f"{dataset}-{name}")) for name in ("teacher", *STUDENTS)}
    )
    for name, model in {"teacher": teacher, **students}.items():
        record.measure(
            {"what": "clean", "network": name},
            lambda model=model: {
                "accuracy": accuracy(model, images, labels),
                "accuracy_full": accuracy(model, *whole),
                "agreement": float((teacher(images).argmax(1) == model(images).argmax(1)).double().mean()),
            },
        )
    for region, valid_range in REGIONS.items():
        for label, radius in RADII[dataset].items():
            eps = radius * sample.std
            for name, model in {"teacher": teacher, **students}.items():
                key = {"what": "robust", "network": name, "region": region, "eps": label}

                def robust(model=model, eps=eps, valid_range=valid_range) -> dict[str, float]:
                    held = robust_accuracy(model, images, labels, eps, valid_range=valid_range).shares()
                    agree = empirical_agreement(teacher, model, images, eps, valid_range=valid_range).shares()
                    proved = verify.robustness(model, images, labels, eps, valid_range=valid_range)
                    return {
                        "robust_accuracy": held["every"],
                        "robust_accuracy_last": held["last"],
                        "certified_accuracy": proved.share("certified"),
                        "agreement": agree["every"],
                        "agreement_last": agree["last"],
                    }

                record.measure(key, robust)
            for name, student in students.items():
                key = {
                    "what": "faithub",
                    "network": name,
                    "region": region,
                    "eps": label,
                    "method": "crown",
                    "images": 1000,
                }
                record.measure(key, lambda s=student, e=eps, v=valid_range: interval(teacher, s, images, e, v, "crown"))


def programs(dataset: str, timeout: float, radii: list[str] | None) -> None:
    record = Record(f"paper-programs-{dataset}")
    record.measure(
        {"what": "networks"}, lambda: {name: sha256(find(f"{dataset}-{name}")) for name in ("teacher", *STUDENTS)}
    )
    sample = faithkd.data.load(dataset, split="test").sample(100, seed=0)
    teacher = faithkd.load(f"{dataset}-teacher")
    for label in radii or list(RADII[dataset])[:3]:
        radius = RADII[dataset][label]
        for name in STUDENTS:
            student = faithkd.load(f"{dataset}-{name}")
            for method in ("lp-boxes", "crown", "lp", "milp"):
                key = {
                    "what": "faithub",
                    "network": name,
                    "region": "cut",
                    "eps": label,
                    "method": method,
                    "images": 100,
                }
                record.measure(
                    {**key, "timeout": timeout if method == "milp" else None},
                    lambda s=student, r=radius, m=method: interval(
                        teacher, s, sample.images, r * sample.std, (0.0, 1.0), m, timeout
                    ),
                )


def interval(teacher, student, images, eps, valid_range, method, timeout=30.0) -> dict[str, object]:
    result = verify.faithfulness(
        teacher, student, images, eps, valid_range=valid_range, method=method, options=verify.Options(timeout=timeout)
    )
    return {
        "paper_emplb": statistics(result.paper_emplb),
        "emplb": statistics(result.emplb),
        "faithub": statistics(result.faithub),
        "status": {status: result.status.count(status) for status in sorted(set(result.status))},
    }


def statistics(values: torch.Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std(correction=0))}


if __name__ == "__main__":
    main()
