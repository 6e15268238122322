"""The part of docs/results.md on soundness: what the campaign of `soundness.py` asked, and what failed."""

from __future__ import annotations

from collections import Counter

from tables import Row, header, line, machine_line, paragraph, recorded

TITLES = {
    "bounds": "FAITHUB, or every query's bound, is not below a value that is certainly attained",
    "emplb": "EMPLB is not above what is certainly not passed",
    "witness inside": "the witness lies in the exact region",
    "witness attains": "the witness attains EMPLB",
    "differences": "logit differences and layers are inside their bounds, exactly",
    "heads": "the softmaxes' linear bound holds, at any free numbers",
    "narrowing": "no point above the threshold leaves its box",
    "cuts": "the joint linear bound holds, at any free numbers (points)",
    "tightening": "no point above the level leaves its box (points)",
    "certified": "a certificate of agreement or robustness holds on the whole interval",
    "refuted": "a refuting input refutes",
}


def parts() -> dict[str, str]:
    """The table, where the campaign is recorded."""
    rows = recorded("soundness")
    return {"soundness": soundness(rows)} if rows else {}


def soundness(rows: list[Row]) -> str:
    """Checks by what they ask, how many of them failed and crashed, and who was asked."""
    counts = [summed(rows, name) for name in ("checks", "violations", "crashed")]
    lines = [header("what is asked", ["checks", "failed", "crashed"])]
    lines += [line(title, [f"{count[key]:,}" for count in counts]) for key, title in TITLES.items()]
    methods = Counter[str]()
    for row in rows:
        if row["what"] == "bounds":
            methods.update({name: count for name, count in row["checks"].items() if asked(row, name) == "bounds"})
    shares = ", ".join(f"`{name}` {count:,}" for name, count in methods.items())
    families = sorted({row["family"] for row in rows if isinstance(row["family"], str)})
    minutes = sum(row["cpu_seconds"] for row in rows) / 60
    text = f"""{counts[0].total():,} checks in {minutes:.0f} CPU minutes, with the compiled loops and without, of families
        {", ".join(families)}. FAITHUB by method: {shares}."""
    return "\n".join([*lines, "", paragraph(text), "", machine_line("soundness")])


def summed(rows: list[Row], name: str) -> Counter[str]:
    """Counts by title."""
    total = Counter[str]()
    for row in rows:
        for check, count in row.get(name, {}).items():
            total[asked(row, check)] += count
    return total


def asked(row: Row, check: str) -> str:
    """The title that a check of a row belongs to; what crashed has no answer yet and belongs to its kind."""
    if row["what"] == "decisions":
        return "refuted" if check.endswith("refuted") else "certified"
    return check if check in TITLES else row["what"]
