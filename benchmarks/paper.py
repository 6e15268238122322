"""What the faithful-distillation paper prints (Lamb et al. 2023, arXiv:2306.04431); radii in normalised units."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parent.parent / "faithkd" / "report" / "papers" / "faithful_kd.json"
RADII = {
    "mnist": {"0.025": 0.025, "0.05": 0.05, "0.1": 0.1, "0.15": 0.15, "0.2": 0.2},
    "fashion-mnist": {f"{k}/255": k / 255 for k in (4, 8, 12, 16, 20)},
}
STUDENTS = ("sd", "ard", "rslad", "fd")


def printed(dataset: str, eps: str, network: str, metric: str) -> float:
    """One number of Table 1 (robust_accuracy, distillation_agreement, in percent) or Table 2 (emplb, faithub), or, at eps `0`, a
    clean_accuracy of the text."""
    method = "at-pgd10" if network == "teacher" else network
    (value,) = {
        row["value"]
        for row in _rows()
        if (row["dataset"], row["eps_label"], row["method"], row["metric"]) == (dataset, eps, method, metric)
    }
    return float(value)


@cache
def _rows() -> list[dict[str, Any]]:
    tables = json.loads(TABLES.read_text())["tables"]
    return [row for table in tables if table["id"] in ("table1", "table2", "text") for row in table["rows"]]
