"""`faithkd report`: a run's page again, shards merged, runs compared."""

from __future__ import annotations

from pathlib import Path

import click

from faithkd.cli.options import debug_option, tell
from faithkd.errors import UserError


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out", metavar="PLACE", help="Folder of the merged run, or page of the comparison  [default: comparison.html]"
)
@debug_option
def report(runs: tuple[str, ...], out: str | None) -> None:
    """Rebuild a run's page, merge shards, or compare runs.

    One RUN folder: its report.html and figures are written again. The shards of one run: they are merged into the new run folder
    OUT. Other RUN folders: one page with a table of them all. A RUN may also be the folder of a `faithkd benchmark`.
    """
    from faithkd.pages import compare, compare_studies, write_report, write_study
    from faithkd.runs import merge, read_run
    from faithkd.runs.merging import are_shards
    from faithkd.study import is_study

    studies = [run for run in runs if is_study(run)]
    if studies and len(studies) < len(runs):
        raise UserError("studies and runs of certify cannot stand in one table; name only the one or the other")
    if len(runs) == 1:
        if out is not None:
            raise click.UsageError("--out is for several runs; the page of one run is written into its folder")
        tell(f"Report: {write_study(runs[0]) if studies else write_report(runs[0])}")
    elif studies:
        page = Path(out or "comparison.html")
        compare_studies(runs, page)
        tell(f"Comparison: {page}")
    elif are_shards([read_run(run) for run in runs]):
        if out is None:
            raise click.UsageError("these are shards of one run; name the folder of the merged run with --out")
        folder = merge(runs, out)
        tell(f"Merged {len(runs)} shards into {folder.path}\nReport: {write_report(folder.path)}")
    else:
        page = Path(out or "comparison.html")
        compare(runs, page)
        tell(f"Comparison: {page}")
