"""The embedded networks beside the paper's tables, by the paper's search and by the cheap methods and the programs."""

from __future__ import annotations

from benchmarks.pages.tables import Row, header, line, machine_line, one, recorded
from faithkd.study.paper import RADII, STUDENTS, TITLES, printed


def parts() -> dict[str, str]:
    """Three tables a data set, and the machine."""
    generated = {"machine": machine_line("paper-tables-mnist")}
    for dataset in RADII:
        rows = recorded(f"paper-tables-{dataset}")
        generated[f"accuracy {dataset}"] = accuracy_table(dataset, rows)
        generated[f"bounds {dataset}"] = bounds_table(dataset, rows)
        generated[f"programs {dataset}"] = programs_table(dataset, recorded(f"paper-programs-{dataset}"))
    return generated


def accuracy_table(dataset: str, rows: list[Row]) -> str:
    """Table 1: robust accuracy and empirical agreement in percent, `cut / whole (paper)`."""
    lines = [header(f"{TITLES[dataset]}, %", ["0", *RADII[dataset]])]
    for metric, paper_metric, names in (
        ("robust_accuracy", "robust_accuracy", ["teacher", *STUDENTS]),
        ("agreement", "distillation_agreement", STUDENTS),
    ):
        for name in names:
            clean = one(rows, what="clean", network=name)["accuracy" if metric == "robust_accuracy" else "agreement"]
            cells = [f"{100 * clean:.1f} ({printed(dataset, '0', name, paper_metric):.1f})"]
            for eps in RADII[dataset]:
                cut, whole = (
                    100 * one(rows, what="robust", network=name, eps=eps, region=region)[metric]
                    for region in ("cut", "whole")
                )
                cells.append(f"{cut:.1f} / {whole:.1f} ({printed(dataset, eps, name, paper_metric):.1f})")
            lines.append(line(f"{name}, {'accuracy' if metric == 'robust_accuracy' else 'agreement'}", cells))
    return "\n".join(lines)


def bounds_table(dataset: str, rows: list[Row]) -> str:
    """Table 2: means of EMPLB by the paper's search and of FAITHUB by crown, `cut / whole (paper)`."""
    lines = [header(TITLES[dataset], list(RADII[dataset]))]
    for metric, field in (("emplb", "paper_emplb"), ("faithub", "faithub")):
        for name in STUDENTS:
            cells = []
            for eps in RADII[dataset]:
                cut, whole = (
                    one(rows, what="faithub", network=name, eps=eps, region=region)[field]["mean"]
                    for region in ("cut", "whole")
                )
                cells.append(f"{cut:.3f} / {whole:.3f} ({printed(dataset, eps, name, metric):.3f})")
            lines.append(line(f"{name}, {metric.upper()}", cells))
    return "\n".join(lines)


def programs_table(dataset: str, rows: list[Row]) -> str:
    """FAITHUB by the programs: the mean, and the CPU seconds an image."""
    radii = list(RADII[dataset])[:3]
    lines = [header(f"{TITLES[dataset]}, FAITHUB (CPU s an image)", radii)]
    for name in STUDENTS:
        for method in ("lp-boxes", "crown", "lp", "milp"):
            cells = []
            for eps in radii:
                found = [
                    row
                    for row in rows
                    if (row.get("network"), row.get("eps"), row.get("method")) == (name, eps, method)
                ]
                if not found:
                    cells.append("not run")
                    continue
                (row,) = found
                stopped = row["status"].get("timeout", 0)
                cells.append(
                    f"{row['faithub']['mean']:.3f} ({row['cpu_seconds'] / row['images']:.2f})"
                    + (f" t{stopped}/{row['timeout']:g}s" if stopped else "")
                )
            lines.append(line(f"{name}, {method}", cells))
    return "\n".join(lines)
