"""An evaluation's files: its records as JSON, and one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faithkd.data import Dataset
from faithkd.evaluation.records import Subject, records
from faithkd.evaluation.setting import Setting
from faithkd.evaluation.tables import accuracy_table, calibration_table, claims_table, pair_table
from faithkd.files import atomic
from faithkd.pages.html import render
from faithkd.pages.tables import Table, short

RECORDS, PAGE = "evaluation.json", "evaluation.html"


def write_evaluation(
    folder: str | Path,
    subjects: Sequence[Subject],
    dataset: Dataset,
    setting: Setting,
    environment: dict[str, Any],
) -> Path:
    """Write `evaluation.json` and `evaluation.html` into a folder, which is made; returns the page's path."""
    found = [record for subject in subjects for record in records(subject, dataset, setting)]
    with atomic(Path(folder) / RECORDS) as file:
        file.write((json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
    with atomic(Path(folder) / PAGE) as file:
        file.write(page(subjects, dataset, setting, environment))
    return Path(folder) / PAGE


def page(subjects: Sequence[Subject], dataset: Dataset, setting: Setting, environment: dict[str, Any]) -> bytes:
    """The page's file."""
    return render(
        "evaluation.html",
        title=f"{_networks(subjects)} on {len(dataset)} {dataset.split} images of {short(dataset.name)}",
        warnings=[(short(subject.name), warning) for subject in subjects for warning in subject.evaluation.warnings],
        tables=_tables(subjects, dataset, setting),
        evaluation_facts=_facts(subjects, setting, environment),
    )


def _tables(subjects: Sequence[Subject], dataset: Dataset, setting: Setting) -> list[tuple[str, Table, str]]:
    """Each with its heading and its note; those that would be empty are left out."""
    claims, pairs = claims_table(subjects, dataset, setting), pair_table(subjects, setting)
    measured = (
        "Claims are of the images and the attack that the card names; measured is the lowest of the attacks here."
    )
    calibrated = "On the images themselves. ECE, Brier score and NLL are 0 at best."
    tables = [("Accuracy", accuracy_table(subjects, setting), _explained(setting))]
    tables += [("Claimed and measured", claims, measured)] if claims.rows else []
    tables += [("Calibration", calibration_table(subjects), calibrated)]
    tables += [("Beside the teacher", pairs, _pairs_explained(subjects, setting))] if pairs.rows else []
    return tables


def _networks(subjects: Sequence[Subject]) -> str:
    return short(subjects[0].name) if len(subjects) == 1 else f"{len(subjects)} networks"


def _explained(setting: Setting) -> str:
    if not setting.eps:
        return "In %."
    cut = "cut with the range of valid pixels" if setting.clip else "left uncut"
    return (
        f"In %. Radii in {setting.unit} units, regions {cut}. An image counts when the network is right on every input that the attack "
        "meets, in brackets on the last one alone. An attack finds errors; that none was found is no proof that there is none."
    )


def _pairs_explained(subjects: Sequence[Subject], setting: Setting) -> str:
    teacher = next(short(subject.teacher) for subject in subjects if subject.teacher)
    return (
        f"The teacher is {teacher}. On the images (radius 0): the same decisions in %, ECE and mean KL divergence of the student relative "
        f"to the teacher, mean distance of the input gradients. Within a radius ({setting.unit} units): empirical agreement in %, the "
        "student's local linearity LLM, an estimate of how far its loss can be from the teacher's, the teacher's accuracy in % on the "
        "student's adversarial images, and on how many images the teacher is right at both inputs / at the image only / wrong at the "
        "image. All of these are searched or estimated: none is a certificate."
    )


def _facts(subjects: Sequence[Subject], setting: Setting, environment: dict[str, Any]) -> list[tuple[str, str]]:
    seconds = sum(
        result.seconds for subject in subjects for result in subject.evaluation.robustness if result.attack != "all"
    )
    return [
        ("attacks", ", ".join(setting.attacks) if setting.eps else "none"),
        ("seed", str(setting.seed)),
        *((f"SHA-256 of {short(subject.name)}", subject.sha256) for subject in subjects),
        ("hardware", f"{environment['hardware']}, {environment['cores']} cores, {environment['system']}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in environment["versions"].items())),
        ("time", f"{seconds:.1f} s of attacks"),
    ]
