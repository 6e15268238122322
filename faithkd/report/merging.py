"""Several runs: shards become one run, runs become one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faithkd.certification.request import Request
from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.report.page import document, facts, table_section
from faithkd.report.run_folder import Run, RunFolder, read_run
from faithkd.report.tables import Table, proof_line, run_table


def are_shards(runs: Sequence[Run]) -> bool:
    """Do the runs ask for the same in several shards."""
    first = runs[0].summary
    alike = all(_question(run.summary) == _question(first) for run in runs)
    return alike and all(Request.from_dict(run.summary["request"]).shard_of()[1] > 1 for run in runs)


def merge(paths: Sequence[str | Path], out: str | Path) -> RunFolder:
    """Join shards into a new run folder, the same as that of a run without shards. Raises `UserError` unless all are there, complete."""
    runs = [read_run(path) for path in paths]
    if not are_shards(runs):
        raise UserError("only shards of one run can be merged, but these runs differ in what they ask")
    shards = [Request.from_dict(run.summary["request"]).shard_of() for run in runs]
    total = shards[0][1]
    if missing := sorted(set(range(1, total + 1)) - {place for place, _ in shards}):
        raise UserError(
            f"shard {', '.join(f'{place}/{total}' for place in missing)} is missing; give all {total} run folders"
        )
    for run in runs:
        if run.summary["state"] != "complete":
            raise UserError(
                f"the run in {run.path} is not complete; continue it with faithkd certify --resume --out {run.path}"
            )
    request = {**runs[0].summary["request"], "shard": "1/1"}
    sums = {name: float(sum(run.summary[name] for run in runs)) for name in ("seconds", "wall_seconds")}
    folder = RunFolder.create(out, {**runs[0].summary, "request": request, **sums})
    for number, run in enumerate(runs):
        folder.append(f"shard{number:04d}", run.certificates, run.witnesses)
    folder.close()
    folder.summarise()
    folder.save_summary()
    return folder


def compare(paths: Sequence[str | Path], page: str | Path) -> Table:
    """Write one page with the runs side by side and return its table. Raises `UserError` when their radii have different units."""
    runs = [read_run(path) for path in paths]
    units = {run.summary["request"]["unit"] for run in runs}
    if len(units) > 1:
        raise UserError(f"the runs cannot stand in one table: their radii are in {' and '.join(sorted(units))} units")
    if empty := [str(run.path) for run in runs if not run.summary["radii"]]:
        raise UserError(f"the run in {empty[0]} holds no certificate yet; continue it first")
    summaries = [{**run.summary, "name": name} for run, name in zip(runs, _names(runs), strict=True)]
    table = run_table(summaries)
    title = "Runs side by side"
    body = [f"<header><h1>{title}</h1></header>", table_section("The intervals", table, proof_line(summaries[0]))]
    differing = [name for name in summaries[0]["request"] if len({repr(s["request"].get(name)) for s in summaries}) > 1]
    rows = [(s["name"], *(_plain(s["request"].get(name)) for name in differing)) for s in summaries]
    if differing:
        columns = (("run", ""), *((name.replace("_", " "), "") for name in differing))
        body.append(table_section("Where they differ", Table(columns, tuple(rows))))
    shared = [
        (name, _plain(value))
        for name, value in summaries[0]["request"].items()
        if name not in differing and value is not None
    ]
    body.append(f"<section><h2>What they share</h2>{facts(shared)}</section>")
    with atomic(page) as file:
        file.write(document(title, "\n".join(body)).encode())
    return table


def _question(summary: dict[str, Any]) -> dict[str, Any]:
    """What was asked, whichever shard."""
    request = {name: value for name, value in summary["request"].items() if name not in ("shard", "device")}
    return {**request, "checksums": summary["checksums"]}


def _names(runs: Sequence[Run]) -> list[str]:
    """The folders' names, with what is above them where those are equal."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
