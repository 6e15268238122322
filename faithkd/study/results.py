"""Everything that the report of a study shows, as plain values: the JSON twin, from which tables, page and text are made."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from faithkd.runs.reading import Run
from faithkd.runs.records import Radius, Spread
from faithkd.study.certified import Runs
from faithkd.study.folder import StudyFolder
from faithkd.study.paper import lookup, steps_table
from faithkd.study.plan import REGIONS, STEPS
from faithkd.study.records import AtRadius, Counted, Search
from faithkd.text import percent

Row = dict[str, Any]
Searches = dict[tuple[str, str], Search]
EXAMPLES = (0.5, 0.75, 0.9)
"""The images whose EMPLB is shown for each number of steps: these quantiles."""


def results(folder: StudyFolder, runs: Runs) -> Row:
    """What a study found so far, each number beside the paper's, and what is missing. Shares are in [0, 1], the paper's too.

    runs: its run folders, as `certified` gives them.
    """
    plan, record = folder.plan, folder.record
    searches = {
        (name, region): found
        for region in REGIONS for name in ("teacher", *plan.students)
        if (found := folder.search(name, region)) is not None
    }  # fmt: skip
    bounds = [_bounds(folder, runs, searches, cell) for cell in _cells(folder)]
    return {
        "format": 1,
        "dataset": plan.dataset,
        "state": record.state,
        "plan": plan.to_dict(),
        "radii": [
            {"eps": eps, "label": label, "unit": "normalised", "eps_pixel": eps * plan.std}
            for label, eps in plan.labels.items()
        ],
        "networks": {name: _row(network) for name, network in record.networks.items()},
        "accuracy": _accuracy(folder, searches),
        "agreement": _agreement(folder, runs, searches),
        "bounds": [row for row in bounds if row is not None],
        "steps": _steps(folder, searches),
        "plane": folder.planes() is not None,
        "missing": _missing(folder, runs, searches),
        "environment": record.environment,
        "sessions": [_row(session) for session in record.sessions],
        "seconds": round(sum(session.seconds for session in record.sessions), 1),
        "proof": _proof(runs),
        "written": time.strftime("%Y-%m-%d"),
    }


def ratios(found: Row) -> list[tuple[Row, float, float]]:
    """The cells of Table 2 that the paper has too, with the ratios FAITHUB / EMPLB: here, and in the paper."""
    return [(row, row["ratio"], row["paper"]["ratio"]) for row in found["bounds"] if row["paper"] and row["ratio"]]


def undecided(row: Row) -> float:
    """The share of images of an agreement row that are neither certified nor refuted."""
    low, high = row["certified"]
    return max(0.0, float(high - low))


def _cells(folder: StudyFolder) -> list[tuple[str, str, str]]:
    plan = folder.plan
    return [(region, student, label) for region in REGIONS for student in plan.students for label in plan.labels]


def _accuracy(folder: StudyFolder, searches: Searches) -> list[Row]:
    """Robust accuracy, empirical and the interval that is proved, one row for each network, kind of region and radius."""
    rows = []
    for (name, region), record in searches.items():
        clean = record.accuracy
        at_radii = {"0": AtRadius(Counted(clean, clean), (clean, clean))}
        for label, found in (at_radii | record.radii).items():
            rows.append(
                {
                    "network": name,
                    "region": region,
                    "eps": label,
                    **_row(found.robust_accuracy),
                    "certified": list(found.certified_accuracy),
                    "paper": _share(folder, label, name, "robust_accuracy"),
                }
            )
    return rows


def _agreement(folder: StudyFolder, runs: Runs, searches: Searches) -> list[Row]:
    """Agreement with the teacher: empirical, and the interval [certified share, 1 - refuted share] where it was certified."""
    rows = []
    for (name, region), record in searches.items():
        if record.agreement is UNSET:
            continue
        same = record.agreement
        certified = {"0": [same, same]} | _certified(runs.get((name, region)), folder)
        at_radii = {label: found.agreement for label, found in record.radii.items()}
        for label, agreed in ({"0": Counted(same, same)} | at_radii).items():
            rows.append(
                {
                    "network": name,
                    "region": region,
                    "eps": label,
                    **_row(agreed),
                    "certified": certified.get(label),
                    "paper": _share(folder, label, name, "distillation_agreement"),
                }
            )
    return rows


def _certified(run: Run | None, folder: StudyFolder) -> dict[str, list[float]]:
    """By radius; only where every image has its certificate."""
    if run is None:
        return {}
    labels = {eps: label for label, eps in folder.plan.labels.items()}
    return {
        labels[radius.eps]: [
            radius.agreement.certified / radius.images,
            1 - radius.agreement.refuted / radius.images,
        ]
        for radius in run.summary.radii
        if radius.images == folder.plan.images
    }


def _bounds(folder: StudyFolder, runs: Runs, searches: Searches, cell: tuple[str, str, str]) -> Row | None:
    """One cell of Table 2, or None while it has no certificate."""
    region, student, label = cell
    run, record, plan = runs.get((student, region)), searches.get((student, region)), folder.plan
    found = [] if run is None else [radius for radius in run.summary.radii if radius.eps == plan.labels[label]]
    if not found or record is None:
        return None
    (radius,), emplb = found, record.radii[label].emplb
    assert emplb is not UNSET
    return {
        "network": student,
        "region": region,
        "eps": label,
        "images": radius.images,
        "emplb": _row(emplb),
        "emplb_best": _mean(radius.emplb),
        "faithub": _mean(radius.faithub),
        "root": None if radius.root is UNSET else _mean(radius.root),
        "ratio": _ratio(radius, emplb.mean),
        "ratio_best": _ratio(radius, radius.emplb.mean),
        "gap": radius.gap.mean,
        "closed": radius.status.get("closed", 0) / radius.images,
        "nodes": radius.nodes,
        "seconds": round(radius.seconds, 1),
        "timeout": plan.timeout[list(plan.labels).index(label)],
        "paper": _paper_bounds(plan.dataset, label, student),
    }


def _ratio(radius: Radius, emplb: float) -> float | None:
    return radius.faithub.mean / emplb if emplb > 0 else None


def _paper_bounds(dataset: str, label: str, student: str) -> Row | None:
    emplb, faithub = (lookup(dataset, label, student, metric) for metric in ("emplb", "faithub"))
    if emplb is None or faithub is None:
        return None
    return {
        "emplb": {"mean": emplb.value, "std": emplb.std},
        "faithub": {"mean": faithub.value, "std": faithub.std},
        "ratio": faithub.value / emplb.value,
    }


def _steps(folder: StudyFolder, searches: Searches) -> Row:
    """EMPLB against the number of steps: means, example images that all students share, and the paper's single images."""
    plan, means, examples = folder.plan, [], []
    found = {key: record.steps.emplb for key, record in searches.items() if record.steps is not UNSET}
    for (name, region), emplb in found.items():
        for steps in STEPS:
            mean = float(np.mean(emplb[str(steps)]))
            means.append({"network": name, "region": region, "steps": steps, "emplb": mean})
    cut = {name: emplb for (name, region), emplb in found.items() if region == "cut"}
    if len(cut) == len(plan.students):
        order = np.argsort(np.mean([emplb["50"] for emplb in cut.values()], axis=0), kind="stable")
        chosen = [int(order[round(quantile * (len(order) - 1))]) for quantile in EXAMPLES]
        examples = [
            {"network": name, "region": "cut", "image": f"{percent(quantile, 0)} % quantile", "steps": steps,
             "emplb": emplb[str(steps)][row]}
            for name, emplb in cut.items() for quantile, row in zip(EXAMPLES, chosen, strict=True) for steps in STEPS
        ]  # fmt: skip
    return {"eps": plan.steps_at, "means": means, "examples": examples, "paper": steps_table(plan.dataset)}


def _missing(folder: StudyFolder, runs: Runs, searches: Searches) -> list[str]:
    """What an unfinished study does not have yet, in words."""
    plan, missing = folder.plan, []
    for region, cut in REGIONS.items():
        words = "cut" if cut else "not cut"
        for name in ("teacher", *plan.students):
            if (name, region) not in searches:
                missing.append(f"the searches of {name}, regions {words}")
        for student in plan.students:
            run = runs.get((student, region))
            total, have = plan.images * len(plan.eps), 0 if run is None else len(run.certificates)
            if have < total:
                missing.append(f"{total - have} of {total} certificates of {student}, regions {words}")
    if not missing and folder.planes() is None:
        missing.append("the planes of Figure 1")
    return missing


def _proof(runs: Runs) -> dict[str, int]:
    """How many bounds rest on what."""
    counts: dict[str, int] = {}
    for run in runs.values():
        for radius in run.summary.radii:
            for kind, count in radius.proof.items():
                counts[kind] = counts.get(kind, 0) + count
    return counts


def _share(folder: StudyFolder, label: str, name: str, metric: str) -> float | None:
    found = lookup(folder.plan.dataset, label, name, metric)
    return None if found is None else found.value / 100


def _mean(values: Spread) -> Row:
    return {"mean": values.mean, "std": values.std}


def _row(record: Any) -> Row:
    """A record as plain values."""
    values: Row = msgspec.to_builtins(record)
    return values
