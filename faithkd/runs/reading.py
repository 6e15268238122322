"""Reading a run folder, finished or not: nothing in it is believed before it is checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import UNSET

from faithkd.errors import UserError
from faithkd.files import sha256
from faithkd.runs.arrays import Arrays, Shapes, longest, read_arrays
from faithkd.runs.checks import arrays_problem, lines_problem, whole_problem
from faithkd.runs.layout import (
    CERTIFICATES,
    DIGESTS,
    PARTS,
    SUMMARY,
    WITNESSES,
    check_sum,
    read_certificates,
    read_digests,
    read_summary,
    refuse,
)  # fmt: skip
from faithkd.runs.parts import MOST_PART
from faithkd.runs.records import Certificate, PartDigests, Summary
from faithkd.runs.statistics import same, seconds_of, statistics

ATTEMPTS = 5
"""Times that a folder is read while another process is writing in it."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    summary: with the statistics of the certificates. certificates: one record an image and radius, by radius and then by index.
    witnesses: arrays with one row a certificate, in the same order: `index`, `eps`, `image` and `witness` `(m, *shape)`, `teacher`
    and `student` confidences `(m, 2, classes)` at the image and at the witness, `empirical_agreement`; empty without certificates.
    """

    path: Path
    summary: Summary
    certificates: list[Certificate]
    witnesses: Arrays


@dataclass(frozen=True)
class StoredPart:
    """A finished part of a run that is not complete: its lines as they stand in the file, their records, and its witnesses."""

    digests: PartDigests
    text: bytes
    certificates: list[Certificate]
    witnesses: Arrays


def read_run(path: str | Path) -> Run:
    """Everything in a run folder, finished or not. Raises `UserError` when it is none or is damaged."""
    path = Path(path)
    for _ in range(ATTEMPTS - 1):
        before = _marks(path)
        try:
            return _read_run(path)
        except UserError:
            # A writer may have put the folder in order under our hands.
            if _marks(path) == before:
                raise
    return _read_run(path)


def read_parts(path: Path, summary: Summary) -> list[StoredPart]:
    """The finished parts of a run that is not complete, of format 2.

    What a kill leaves behind is left out: a torn line at the end of a file, a part whose certificates are not all there yet. So is a
    part whose witnesses were removed, which is how a damaged one is done again.
    """
    lines, certificates, _ = read_certificates(path, summary)
    rows = {certificate.key: row for row, certificate in enumerate(certificates)}
    parts, unknown = [], set(range(len(lines)))
    for digests in read_digests(path, summary):
        mine = [rows[key] for index in digests.indices if (key := (digests.eps, index)) in rows]
        if not unknown.issuperset(mine):
            refuse(path / DIGESTS, f"the part {digests.part} has certificates of another part")
        unknown -= set(mine)
        file = path / PARTS / f"{digests.part}.npz"
        if len(mine) == len(digests.indices) and file.exists():
            text = b"".join(lines[row] for row in mine)
            if hashlib.sha256(text).hexdigest() != digests.certificates:
                refuse(path / CERTIFICATES, f"the certificates of its part {digests.part} were changed")
            arrays = _part_arrays(file, digests, summary)
            parts.append(StoredPart(digests, text, [certificates[row] for row in mine], arrays))
    if unknown:
        refuse(path / CERTIFICATES, f"line {min(unknown) + 1} belongs to no part that was finished")
    if wrong := lines_problem(certificates, summary):
        refuse(path / CERTIFICATES, wrong)
    return parts


def _read_run(path: Path) -> Run:
    summary = read_summary(path)
    if summary.state == "complete":
        run = _complete(path, summary)
    elif summary.format == 1:
        run = _unfinished_of_format_1(path, summary)
    else:
        parts = read_parts(path, summary)
        run = _joined(
            Run(path, summary, [line for part in parts for line in part.certificates], {}),
            [part.witnesses for part in parts],
        )
    if run.certificates and (wrong := arrays_problem(run.certificates, run.witnesses, summary)):
        refuse(path / (WITNESSES if summary.state == "complete" else PARTS), wrong)
    return _summarised(run)


def _complete(path: Path, summary: Summary) -> Run:
    _, certificates, torn = read_certificates(path, summary)
    wrong = "its last line is torn" if torn else lines_problem(certificates, summary)
    if wrong := wrong or whole_problem(certificates, summary):
        refuse(path / CERTIFICATES, wrong)
    file, rows, shapes = path / WITNESSES, len(certificates), _shapes(summary)
    if summary.files is not UNSET and summary.files.witnesses is not UNSET:
        check_sum(file, sha256(file, longest(rows, shapes)), summary.files.witnesses.sha256)
    return Run(path, summary, certificates, read_arrays(file, rows, shapes))


def _unfinished_of_format_1(path: Path, summary: Summary) -> Run:
    """From parts without digests, and from the joined file where the run was killed while it was put in order."""
    _, certificates, _ = read_certificates(path, summary)
    if wrong := lines_problem(certificates, summary):
        refuse(path / CERTIFICATES, wrong)
    sources = [*sorted((path / PARTS).glob("*.npz")), path / WITNESSES]
    most = len(certificates) + MOST_PART
    found = [read_arrays(source, most, _shapes(summary)) for source in sources if source.exists()]
    return _joined(Run(path, summary, certificates, {}), found)


def _joined(run: Run, found: list[Arrays]) -> Run:
    """In order, each certificate with its witness."""
    if not run.certificates:
        return run
    radii = {eps: place for place, eps in enumerate(run.summary.request.eps or ())}
    certificates = sorted(run.certificates, key=lambda line: (radii[line.eps], line.index))
    for name in ("image", "teacher"):
        if len({arrays[name].shape[1:] for arrays in found}) > 1:
            refuse(run.path / PARTS, f"{name} has several shapes")
    starts = np.cumsum([0, *(len(arrays["index"]) for arrays in found)]).tolist()
    rows = {
        key: start + row
        for start, arrays in zip(starts, found, strict=False)
        for row, key in enumerate(zip(arrays["eps"].tolist(), arrays["index"].tolist(), strict=True))
    }
    if missing := [line for line in certificates if line.key not in rows]:
        refuse(run.path / PARTS, f"there is no witness for image {missing[0].index} at {missing[0].eps}")
    order = [rows[line.key] for line in certificates]
    witnesses = {name: np.concatenate([arrays[name] for arrays in found])[order] for name in found[0]}
    return Run(run.path, run.summary, certificates, witnesses)


def _summarised(run: Run) -> Run:
    """The same with the statistics of its certificates, which must be those that it states where it has ended."""
    summary, count = run.summary, len(run.certificates)
    held = run.witnesses["empirical_agreement"].tolist() if run.certificates else []
    radii, seconds = statistics(run.certificates, held, summary.request.delta), seconds_of(run.certificates)
    stated = count if summary.files is UNSET else summary.files.certificates.lines
    # There are fewer only where the witnesses of a part were removed, for the files have the digests that are stated.
    ended = summary.state == "complete" or (summary.state != "running" and stated <= count)
    if ended and (stated != count or not same((summary.radii, summary.seconds), (radii, seconds))):
        refuse(run.path / SUMMARY, "its statistics do not follow from the certificates")
    summary = msgspec.structs.replace(summary, radii=radii, seconds=seconds)
    return Run(run.path, summary, run.certificates, run.witnesses)


def _part_arrays(file: Path, digests: PartDigests, summary: Summary) -> Arrays:
    rows, shapes = len(digests.indices), _shapes(summary)
    if sha256(file, longest(rows, shapes)) != digests.witnesses:
        raise UserError(
            f"{file} was changed since the part was finished: its SHA-256 is not the one in {DIGESTS}; remove it and continue with "
            "faithkd certify --resume"
        )
    return read_arrays(file, rows, shapes)


def _shapes(summary: Summary) -> Shapes:
    return Shapes(
        None if summary.image_shape is UNSET else summary.image_shape,
        None if summary.classes is UNSET else summary.classes,
    )


def _marks(path: Path) -> list[tuple[int, int, int] | None]:
    """What changes when a file of the folder is written."""
    marks: list[tuple[int, int, int] | None] = []
    for name in (SUMMARY, CERTIFICATES, DIGESTS, WITNESSES):
        try:
            found = (path / name).stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return marks
