"""Several runs in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faithkd.errors import UserError
from faithkd.files import atomic
from faithkd.pages.html import render
from faithkd.pages.tables import Table, folder_names
from faithkd.report.tables import proof_line, run_table
from faithkd.runs.reading import read_run


def compare(paths: Sequence[str | Path], page: str | Path) -> Table:
    """Write one page with the runs side by side and return its table. Raises `UserError` when their radii have different units."""
    runs = [read_run(path) for path in paths]
    units = {str(run.summary.request.unit) for run in runs}
    if len(units) > 1:
        raise UserError(f"the runs cannot stand in one table: their radii are in {' and '.join(sorted(units))} units")
    if empty := [str(run.path) for run in runs if not run.certificates]:
        raise UserError(f"the run in {empty[0]} holds no certificate yet; continue it first")
    names = folder_names([run.path for run in runs])
    summaries = [run.summary for run in runs]
    table = run_table(summaries, names)
    requests = [summary.request.to_dict() for summary in summaries]
    differing = [name for name in requests[0] if len({repr(request[name]) for request in requests}) > 1]
    columns = (("run", ""), *((name.replace("_", " "), "") for name in differing))
    rows = [(name, *(_plain(request[key]) for key in differing)) for name, request in zip(names, requests, strict=True)]
    shared = [
        (name, _plain(value)) for name, value in requests[0].items() if name not in differing and value is not None
    ]
    content = render(
        "comparison.html",
        title="Runs side by side",
        intervals=table,
        proof=proof_line(summaries),
        differing=Table(columns, tuple(rows if differing else ())),
        shared=shared,
    )
    with atomic(page) as file:
        file.write(content)
    return table


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
