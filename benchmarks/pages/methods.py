"""The students of every training method: a table in docs/results.md, and a page with every row and what the papers found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measuring.methods import EPOCHS, ROWS
from benchmarks.pages.tables import Row, header, line, machine_line, paragraph, recorded

INTRODUCTION = """
The student is the faithful-distillation paper's, 784-20-20-20-20-10, trained for {epochs} epochs (each loop of `isd` as long) at the
normalised radius 0.2 by the recipes of the same names; the best epoch is chosen on held-out training images. Accuracies and
agreement in percent on 1,000 test images at the normalised radius 0.1, regions cut with the range of pixels; every iterate of
an attack counts. AutoAttack is spared the images that are proved to be decided rightly on their whole region. EMPLB and FAITHUB are
means over 200 of the images, by `complete` with 0.5 s an image. Agreement, EMPLB, FAITHUB and the distance of input gradients are
against the embedded teacher `mnist-teacher`, whichever teacher a row names. Seconds of processor time, one thread; forward +
backward passes a training image and epoch, all networks together.
"""
CLEAR = 1.0
"""Points of accuracy from which a difference is called one: a standard error of 1,000 images is 0.6 to 1 of them."""

SHARES = {"clean": "clean", "pgd_50": "PGD-50", "cw_linf": "CW", "autoattack": "AutoAttack", "agreement": "agreement"}
NUMBERS = {"emplb": "EMPLB", "faithub": "FAITHUB", "gradient_distance": "gradient distance"}


@dataclass(frozen=True)
class Finding:
    """What a paper found: in `measure`, the first row of each pair is above the second (below it, where `lower`)."""

    claim: str
    source: str
    measure: str
    pairs: Sequence[tuple[str, str]]
    lower: bool = False

    def holds(self, one: float, other: float) -> str:
        """Yes or no; for accuracies, whose difference must be clear, also that there is none."""
        gain = other - one if self.lower else one - other
        if self.measure in SHARES and abs(100 * gain) < CLEAR:
            return "no clear difference"
        return "yes" if gain > 0 else "no"


FINDINGS = (
    Finding(
        "Labels mixed into a robust teacher's outputs make the student more robust",
        "AKD, Tables 2 and S1",
        "autoattack",
        (
            ("akd, mixing 0.5, robust", "akd, mixing 1, robust"),
            ("akd, mixing 0.5, robust, early", "akd, mixing 1, robust, early"),
        ),
    ),
    Finding(
        "Without labels a standard teacher teaches no robustness",
        "AKD, Table S1",
        "autoattack",
        (("akd, mixing 0.5, standard", "akd, mixing 1, standard"),),
    ),
    Finding(
        "A teacher that is stopped early makes the student more robust",
        "AKD, Tables 2 and S1",
        "autoattack",
        (
            ("akd, mixing 1, robust, early", "akd, mixing 1, robust"),
            ("akd, mixing 0.5, robust, early", "akd, mixing 0.5, robust"),
            ("akd, mixing 0.5, standard, early", "akd, mixing 0.5, standard"),
        ),
    ),
    Finding(
        "Four teachers make the student more robust than one",
        "AKD, Table 4",
        "autoattack",
        (("akd, mixing 0.5, four robust, early", "akd, mixing 0.5, robust, early"),),
    ),
    Finding(
        "AKD is more robust than adversarial training without a teacher",
        "AKD, Table 1",
        "autoattack",
        (("akd, mixing 0.5, robust, early", "at"),),
    ),
    Finding(
        "Introspection is more robust than plain ARD (temperature 1, alpha 1) and its like",
        "IAD, Table 2",
        "autoattack",
        (("iad-1", "ard, T 1, a 1"), ("iad-2", "akd2"), ("iad-2, partial trust", "akd2")),
    ),
    Finding(
        "Introspection keeps more clean accuracy",
        "IAD, Table 2",
        "clean",
        (("iad-1", "ard, T 1, a 1"), ("iad-2", "akd2")),
    ),
    Finding(
        "More loops of self-distillation make the student more robust",
        "KDIGA, Tables 1 and 4",
        "pgd_50",
        (
            ("isd-wot, loop 1", "isd-wot, loop 0"),
            ("isd-wot, loop 6", "isd-wot, loop 1"),
            ("isd-wit, loop 6", "isd-wit, loop 1"),
        ),
    ),
    Finding(
        "Gradient alignment makes the student more robust than distillation alone",
        "KDIGA, Table 1",
        "pgd_50",
        (("kdiga", "sd"), ("kdiga-ard-c", "ard"), ("kdiga-ard-a", "ard")),
    ),
    Finding(
        "Gradient alignment brings the input gradients nearer to the teacher's",
        "KDIGA, Table 3",
        "gradient_distance",
        (("kdiga", "sd"), ("kdiga", "st"), ("kdiga-ard-c", "ard"), ("kdiga-ard-a", "ard")),
        lower=True,
    ),
)


def parts() -> dict[str, str]:
    """The table, where it is recorded."""
    rows = of_one_budget(recorded("methods"))
    return {"methods": methods_part(rows)} if rows else {}


def of_one_budget(rows: list[Row]) -> list[Row]:
    """The rows of `EPOCHS` epochs, in the order of the benchmark."""
    order = list(ROWS)
    chosen = [row for row in rows if row["epochs"] == EPOCHS]
    return sorted(chosen, key=lambda row: (order.index(row["row"]), row["loop"] or 0))


def methods_part(rows: list[Row]) -> str:
    """A line for each method as it is published; of self-distillation in loops the last."""
    chosen = {row["row"]: row for row in rows if "," not in row["row"]}
    lines = [header("student", [*SHARES.values(), "EMPLB", "FAITHUB", "s an epoch"])]
    for row in chosen.values():
        shares = [f"{100 * row[column]:.1f}" for column in SHARES]
        bounds = [f"{row[bound]:.3f}" for bound in ("emplb", "faithub")]
        lines.append(line(title(row), [*shares, *bounds, f"{row['cpu_seconds_per_epoch']:.1f}"]))
    blocks = [
        paragraph(f"""Every method trains the paper's MNIST student for {EPOCHS} epochs; in percent on 1,000 test images at
            radius {rows[0]["radius"]:g} (normalised), agreement and bounds (200 images) against `mnist-teacher`, seconds of one core.
            Variants, loops, passes, and what the papers found:
            [benchmarks/results/methods.md](../benchmarks/results/methods.md)."""),
        "\n".join(lines),
        machine_line("methods"),
    ]
    return "\n\n".join(blocks)


def page() -> str:
    """All rows, and the findings that they speak to."""
    rows = of_one_budget(recorded("methods"))
    blocks = [
        "# Every method on MNIST",
        "Measured by `python benchmarks/measuring/methods.py`, written by `python benchmarks/pages/readme.py`; the figures are in "
        "`methods.json`.",
        paragraph(INTRODUCTION.format(epochs=EPOCHS)),
        table(rows),
        machine_line("methods"),
        "## The papers' findings, here",
        paragraph(f"""What the papers report on CIFAR-10 with networks a thousand times as large, asked of the rows above, one seed
            each. Accuracies that differ by less than {CLEAR:g} point are not told apart."""),
        findings(rows),
    ]
    return "\n\n".join(blocks) + "\n"


def table(rows: list[Row]) -> str:
    """A line a row."""
    lines = [header("student", [*SHARES.values(), *NUMBERS.values(), "s an epoch", "passes"])]
    for row in rows:
        shares = [f"{100 * row[name]:.1f}" for name in SHARES]
        numbers = [f"{row[name]:.3f}" for name in NUMBERS]
        passes = f"{row['forward_passes']:.0f} + {row['backward_passes']:.0f}"
        lines.append(line(title(row), [*shares, *numbers, f"{row['cpu_seconds_per_epoch']:.1f}", passes]))
    return "\n".join(lines)


def findings(rows: list[Row]) -> str:
    """A line for each pair of rows that a finding compares."""
    known = {title(row): row for row in rows}
    lines = [header("what was found", ["measure", "first", "second", "holds here"])]
    for finding in FINDINGS:
        for one, other in finding.pairs:
            if one in known and other in known:
                values = [known[name][finding.measure] for name in (one, other)]
                shown = [
                    f"{name} {_shown(finding.measure, value)}" for name, value in zip((one, other), values, strict=True)
                ]
                measure = {**SHARES, **NUMBERS}[finding.measure]
                lines.append(line(f"{finding.claim} ({finding.source})", [measure, *shown, finding.holds(*values)]))
    return "\n".join(lines)


def title(row: Row) -> str:
    """The row's name, with the loop that it shows."""
    return str(row["row"]) if row["loop"] is None else f"{row['row']}, loop {row['loop']}"


def _shown(measure: str, value: float) -> str:
    return f"{100 * value:.1f}" if measure in SHARES else f"{value:.3f}"
