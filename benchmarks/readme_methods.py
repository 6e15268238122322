"""The part of docs/results.md on training methods: the students of every method with one budget; all rows are in `results/methods.md`."""

from __future__ import annotations

from methods_page import SHARES, title
from tables import Row, header, line, machine_line, paragraph, recorded


def parts() -> dict[str, str]:
    """The table, where it is recorded."""
    rows = recorded("methods")
    return {"methods": methods_part(rows)} if rows else {}


def methods_part(rows: list[Row]) -> str:
    """A line for each method as it is published; of self-distillation in loops the last."""
    epochs = max(row["epochs"] for row in rows)
    chosen: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["loop"] or 0):
        if "," not in row["row"] and row["epochs"] == epochs:
            chosen[row["row"]] = row
    order = list(dict.fromkeys(row["row"] for row in rows if row["row"] in chosen))
    radius = chosen[order[0]]["radius"]
    lines = [header("student", [*SHARES.values(), "EMPLB", "FAITHUB", "s an epoch"])]
    for name in order:
        row = chosen[name]
        shares = [f"{100 * row[column]:.1f}" for column in SHARES]
        lines.append(
            line(
                title(row),
                [*shares, f"{row['emplb']:.3f}", f"{row['faithub']:.3f}", f"{row['cpu_seconds_per_epoch']:.1f}"],
            )
        )
    return "\n\n".join(
        [
            paragraph(f"""Every method trains the paper's MNIST student for {epochs} epochs; in percent on 1,000 test images at
                radius {radius:g} (normalised), agreement and bounds (200 images) against `mnist-teacher`, seconds of one core.
                Variants, loops, passes, and what the papers found:
                [benchmarks/results/methods.md](../benchmarks/results/methods.md)."""),
            "\n".join(lines),
            machine_line("methods"),
        ]
    )
