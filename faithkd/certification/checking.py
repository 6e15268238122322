"""Is what a run folder holds what the job could have found: the same networks, images and witnesses."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from msgspec import UNSET

from faithkd.certification.job import Job
from faithkd.errors import UserError
from faithkd.runs.arrays import Arrays
from faithkd.runs.checks import ATTAINED
from faithkd.runs.reading import Run
from faithkd.runs.records import FORMAT

BATCH = 256


def checked(job: Job, run: Run) -> Run:
    """The run as this version keeps it, with what older formats do not say. Raises `UserError` unless the job could have made it."""
    summary = run.summary
    if summary.request != job.request:
        raise _other(run, "it was asked for something else")
    for what, checksum in msgspec.structs.asdict(job.checksums).items():
        if checksum != getattr(summary.checksums, what):
            named = job.request.data if what == "images" else getattr(job.request, what)
            raise UserError(
                f"the {what} ({named}) changed since the run in {run.path} began; start another run with another --out"
            )
    facts = {"scale": job.scale, "image_shape": job.dataset.image_shape, "classes": job.classes}
    for what, value in {**facts, "valid_range": job.dataset.valid_range}.items():
        if getattr(summary, what) not in (UNSET, value):
            raise _other(run, f"its {what.replace('_', ' ')} is not {value}")
    witnesses = _checked_rows(job, run) if run.certificates else {}
    return Run(run.path, msgspec.structs.replace(summary, format=FORMAT, **facts), run.certificates, witnesses)


def _checked_rows(job: Job, run: Run) -> Arrays:
    """The witnesses, with the confidences of this version's precision where an older one stored them."""
    asked = {key for part in job.parts() for key in job.keys(part)}
    places = {int(position): row for row, position in enumerate(job.dataset.positions)}
    if other := [line.index for line in run.certificates if line.key not in asked]:
        raise _other(run, f"image {other[0]} is not among the images that it asks for")
    rows = torch.tensor([places[line.index] for line in run.certificates])
    images, labels = job.dataset.images[rows], job.dataset.labels[rows]
    if labels.tolist() != [line.label for line in run.certificates]:
        raise _other(run, "its labels are others")
    if not np.array_equal(run.witnesses["image"], images.numpy()):
        raise _other(run, "its images are others")
    found = _confidences(job, images, torch.from_numpy(run.witnesses["witness"]))
    slack = ATTAINED[run.summary.format]
    for name, values in found.items():
        if not np.abs(values.astype(np.float64) - run.witnesses[name]).max() <= slack:
            raise _other(run, f"the confidences of its {name} are others")
    return run.witnesses | found if run.summary.format < FORMAT else run.witnesses


def _confidences(job: Job, images: torch.Tensor, witnesses: torch.Tensor) -> Arrays:
    parts = [
        job.confidences(some, moved)
        for some, moved in zip(torch.split(images, BATCH), torch.split(witnesses, BATCH), strict=True)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _other(run: Run, wrong: str) -> UserError:
    return UserError(
        f"the run in {run.path} cannot have been made by this request: {wrong}; start another run with another --out"
    )
