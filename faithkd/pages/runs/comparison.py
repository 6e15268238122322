"""Several runs in one table."""

from __future__ import annotations

from collections.abc import Sequence

from faithkd.errors import UserError
from faithkd.pages.content import Document, Facts, Section, Table
from faithkd.pages.runs.tables import run_table
from faithkd.runs.reading import Run
from faithkd.text import folder_names, plain


def comparison(runs: Sequence[Run]) -> Document:
    """The runs side by side, where they differ in what was asked, and what they share. Raises `UserError` for different units."""
    units = {str(run.summary.request.unit) for run in runs}
    if len(units) > 1:
        raise UserError(f"the runs cannot stand in one table: their radii are in {' and '.join(sorted(units))} units")
    if empty := [str(run.path) for run in runs if not run.certificates]:
        raise UserError(f"the run in {empty[0]} holds no certificate yet; continue it first")
    names = folder_names([run.path for run in runs])
    requests = [run.summary.request.to_dict() for run in runs]
    differing = [name for name in requests[0] if len({repr(request[name]) for request in requests}) > 1]
    shared = {name: value for name, value in requests[0].items() if name not in differing and value is not None}
    sections = [Section("The intervals", blocks=(run_table([run.summary for run in runs], names),))]
    if differing:
        columns = ["run", *(name.replace("_", " ") for name in differing)]
        rows = [(name, *(plain(asked[key]) for key in differing)) for name, asked in zip(names, requests, strict=True)]
        sections.append(Section("Where they differ", blocks=(Table.of(columns, rows),)))
    facts = Facts(tuple((name, plain(value)) for name, value in shared.items()))
    return Document("Runs side by side", sections=(*sections, Section("What they share", blocks=(facts,))))
