"""Shards that become one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from faithkd.errors import UserError
from faithkd.runs.folder import RunFolder
from faithkd.runs.parts import cut
from faithkd.runs.reading import Run, read_run
from faithkd.runs.records import FORMAT, Summary


def are_shards(runs: Sequence[Run]) -> bool:
    """Do the runs ask for the same in several shards."""
    first = _question(runs[0].summary)
    return all(_question(run.summary) == first and run.summary.request.shard_of()[1] > 1 for run in runs)


def merge(paths: Sequence[str | Path], out: str | Path) -> RunFolder:
    """Join shards into a new run folder, the same as that of a run without shards. Raises `UserError` unless all are there, complete."""
    runs = [read_run(path) for path in paths]
    _check(runs)
    summary = msgspec.structs.replace(
        runs[0].summary, state="running", request=replace(runs[0].summary.request, shard="1/1"), radii=(), files=UNSET
    )
    certificates = [line for run in runs for line in run.certificates]
    witnesses = {name: np.concatenate([run.witnesses[name] for run in runs]) for name in runs[0].witnesses}
    rows = {line.key: row for row, line in enumerate(certificates)}
    indices = sorted({line.index for line in certificates})
    if len(rows) < len(certificates) or len(indices) != summary.request.asked():
        raise UserError(
            "the shards hold certificates of the same images; give the run folders of one run, each shard once"
        )
    with RunFolder.create(out, summary) as folder:
        for part in cut(summary.request):
            mine = [rows[part.eps, indices[row]] for row in part.rows]
            arrays = {name: values[mine] for name, values in witnesses.items()}
            folder.append(part.name, [certificates[row] for row in mine], arrays)
        folder.complete(sum(run.summary.wall_seconds for run in runs))
    return folder


def _check(runs: Sequence[Run]) -> None:
    if not are_shards(runs):
        raise UserError("only shards of one run can be merged, but these runs differ in what they ask")
    total = runs[0].summary.request.shard_of()[1]
    places = sorted(run.summary.request.shard_of()[0] for run in runs)
    if missing := sorted(set(range(1, total + 1)) - set(places)):
        named = ", ".join(f"{place}/{total}" for place in missing[:20])
        raise UserError(f"shard {named} is missing; give all {total} run folders")
    if len(places) > total:
        raise UserError(f"there must be {total} shards, each once, but {len(places)} run folders were given")
    for run in runs:
        again = f"faithkd certify --resume --out {run.path}"
        if run.summary.state != "complete":
            raise UserError(f"the run in {run.path} is not complete; continue it with {again}")
        if run.summary.format < FORMAT:
            raise UserError(f"the run in {run.path} has an older format; bring it up to date with {again}")


def _question(summary: Summary) -> dict[str, Any]:
    """What was asked, whichever shard."""
    request = {name: value for name, value in summary.request.to_dict().items() if name not in ("shard", "device")}
    shared = {name: getattr(summary, name) for name in ("checksums", "scale", "image_shape", "classes", "valid_range")}
    return {**request, **shared}
