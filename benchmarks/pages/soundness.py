"""The parts of docs/results.md on what was tried to break: `soundness.py`, `mutations.py` and `interruptions.py`, and what failed."""

from __future__ import annotations

from collections import Counter

from benchmarks.pages.tables import Row, header, line, machine_line, paragraph, recorded

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
    """A text for each campaign that is recorded."""
    texts = {"soundness": soundness, "mutations": mutations, "interruptions": interruptions}
    return {name: text(rows) for name, text in texts.items() if (rows := recorded(name))}


def mutations(rows: list[Row]) -> str:
    """How the cases ended, and the slowest and largest of them."""
    (row,) = rows
    kinds = row["kinds"]
    text = f"""`benchmarks/measuring/mutations.py` gives {row["cases"]:,} damaged or foreign inputs (networks, data, recipes,
        training states, run folders, studies, options) to the real commands, each in a process of its own: {kinds["done"]:,} are done,
        {kinds["sentence"]:,} end in one sentence, {kinds["usage"]:,} in a word on usage, {len(row["wrong"])} otherwise. The slowest takes
        {row["slowest"]["seconds"]:.1f} s, the largest {row["largest"]["megabytes"]:.0f} MB."""
    return "\n".join([paragraph(text), "", machine_line("mutations")])


def interruptions(rows: list[Row]) -> str:
    """How many were killed and told to stop, and with how many something was wrong."""
    counts = Counter(row["signal"] for row in rows if row["status"] != 0)
    wrong = sum("wrong" in row for row in rows)
    commands = sorted({row["command"] for row in rows})
    text = f"""`benchmarks/measuring/interruptions.py` disturbs {", ".join(commands)} at random moments of their whole life,
        {counts["kill -9"]} times by `kill -9` and {counts["Ctrl-C"]} times by Ctrl-C, to the process or to its group;
        {len(rows) - counts.total()} more had ended before. After `--resume` certificates, witnesses, networks and searches are those of an
        undisturbed run; Ctrl-C ends with 130 and no traceback. {wrong} were otherwise."""
    return "\n".join([paragraph(text), "", machine_line("interruptions")])


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
    codes = {
        (True,): "with the compiled loops",
        (False,): "without the compiled loops",
        (False, True): "with the compiled loops and without",
    }
    how = codes[tuple(sorted({row["compiled"] for row in rows}))]
    text = f"""{counts[0].total():,} checks in {minutes:.0f} CPU minutes, {how}, of families
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
