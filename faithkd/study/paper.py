"""What the faithful-distillation paper prints (Lamb et al. 2023, arXiv:2306.04431); radii in normalised units."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

RADII = {
    "mnist": {"0.025": 0.025, "0.05": 0.05, "0.1": 0.1, "0.15": 0.15, "0.2": 0.2},
    "fashion-mnist": {f"{k}/255": k / 255 for k in (4, 8, 12, 16, 20)},
}
STUDENTS = ("sd", "ard", "rslad", "fd")
TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}


@dataclass(frozen=True)
class Printed:
    """A number of the paper; std is None where it prints none."""

    value: float
    std: float | None


def lookup(dataset: str, eps: str, network: str, metric: str) -> Printed | None:
    """One number of Table 1 (`robust_accuracy`, `distillation_agreement`, in percent) or Table 2 (`emplb`, `faithub`), or, at eps
    `0`, a `clean_accuracy` of the text; None where the paper has none. network: `teacher` or a student's method."""
    method = "at-pgd10" if network == "teacher" else network
    found = [
        row
        for row in _rows("table1", "table2", "text")
        if (row["dataset"], row["eps_label"], row["method"], row["metric"]) == (dataset, eps, method, metric)
    ]
    if not found:
        return None
    (row,) = found
    return Printed(float(row["value"]), row["std"])


def printed(dataset: str, eps: str, network: str, metric: str) -> float:
    """The value of `lookup`, where the paper must have one."""
    found = lookup(dataset, eps, network, metric)
    assert found is not None, f"the paper prints no {metric} of {network} at {eps} on {dataset}"
    return found.value


def steps_table(dataset: str) -> list[dict[str, Any]]:
    """Table 3: EMPLB of single images that it does not identify, against the steps of the search: records with `student`, `example`,
    `steps` and `value`; empty for MNIST. Its second column is headed 5 steps, its text says 10."""
    return [
        {
            "student": row["method"],
            "example": row["example"],
            "steps": row["attack_iterations"],
            "value": row["value"],
            "eps": row["eps_label"],
        }
        for row in _rows("table3")
        if row["dataset"] == dataset
    ]


@cache
def _rows(*tables: str) -> list[dict[str, Any]]:
    text = (resources.files("faithkd.study") / "papers" / "faithful_kd.json").read_text(encoding="utf-8")
    return [row for table in json.loads(text)["tables"] if table["id"] in tables for row in table["rows"]]
