"""An evaluation's files: its records as JSON, and its page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faithkd.data import Dataset
from faithkd.evaluation.records import Subject, records
from faithkd.evaluation.setting import Setting
from faithkd.files import atomic
from faithkd.pages.content import Document, Facts, Notice, Section
from faithkd.pages.evaluations.tables import accuracy_table, calibration_table, claims_table, pair_table
from faithkd.pages.html import html
from faithkd.runs.environment import machine
from faithkd.text import plain, short

RECORDS, PAGE = "evaluation.json", "evaluation.html"


def write_evaluation(
    folder: str | Path, subjects: Sequence[Subject], dataset: Dataset, setting: Setting, environment: dict[str, Any]
) -> Path:
    """Write `evaluation.json` and `evaluation.html` into a folder, which is made; returns the page's path."""
    found = [record for subject in subjects for record in records(subject, dataset, setting)]
    with atomic(Path(folder) / RECORDS) as file:
        file.write((json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
    with atomic(Path(folder) / PAGE) as file:
        file.write(html(evaluation_document(subjects, dataset, setting, environment)))
    return Path(folder) / PAGE


def evaluation_document(
    subjects: Sequence[Subject], dataset: Dataset, setting: Setting, environment: dict[str, Any]
) -> Document:
    """The page; a table that would be empty is left out."""
    tables = {
        "Accuracy": accuracy_table(subjects, setting),
        "Claimed and measured": claims_table(subjects, dataset, setting),
        "Calibration": calibration_table(subjects),
        "Beside the teacher": pair_table(subjects, setting),
    }
    networks = short(subjects[0].name) if len(subjects) == 1 else f"{len(subjects)} networks"
    return Document(
        f"{networks} on {len(dataset)} {dataset.split} images of {short(dataset.name)}",
        head=tuple(
            Notice(f"{short(subject.name)}: {warning}.")
            for subject in subjects
            for warning in subject.evaluation.warnings
        ),
        sections=(
            *(Section(title, blocks=(table,)) for title, table in tables.items() if table.rows),
            Section("The evaluation", blocks=(Facts(_facts(subjects, setting, environment)),)),
        ),
    )


def _facts(subjects: Sequence[Subject], setting: Setting, environment: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    seconds = sum(
        result.seconds for subject in subjects for result in subject.evaluation.robustness if result.attack != "all"
    )
    return (
        ("attacks", ", ".join(setting.attacks) if setting.eps else "none"),
        ("seed", str(setting.seed)),
        *((f"SHA-256 of {short(subject.name)}", subject.sha256) for subject in subjects),
        ("hardware", machine(environment)),
        ("versions", plain(environment["versions"])),
        ("time", f"{seconds:.1f} s of attacks"),
    )
