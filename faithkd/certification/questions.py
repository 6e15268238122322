"""What looks wrong in a request that can be done all the same, each in one line, said before the work begins."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from faithkd import metrics
from faithkd.data import Dataset
from faithkd.models import Network
from faithkd.text import percent
from verify.passes.native import library

FEW, HALF = 5, 0.5
"""Images from which on an accuracy says something, and the accuracy below which a teacher is doubted."""
PIECE = 1000
"""Images at a time."""
FAR, WIDE = 3.0, 2.5
"""Mean and standard deviation of normalised images beyond which they are doubted: a network's own data have 0 and 1, data that were
normalised before have a deviation of 3 and more."""


def questions(teacher: Network, dataset: Dataset, radii: Mapping[str, float], name: str) -> list[str]:
    """The lines, none for a request like any other.

    dataset: the images that are asked about, with their labels. radii: in pixels, by how they were written. name: the teacher's.
    """
    return [*_radii(dataset, radii), *_scale(teacher, dataset, name), *_accuracy(teacher, dataset, name)]


def slow_code() -> list[str]:
    """A line where the compiled loops do not run, none where they do."""
    reason = library.missing()
    return [] if reason is None else [f"the compiled loops do not run, and proofs take longer: {reason}"]


def _radii(dataset: Dataset, radii: Mapping[str, float]) -> list[str]:
    low, high = dataset.valid_range
    whole = [label for label, eps in radii.items() if eps >= high - low]
    if not whole:
        return []
    meant = next((f"; was {label}/255 meant?" for label in whole if label.isdigit() and int(label) <= 255), "")
    return [
        f"at a radius of {', '.join(whole)} every region is the whole range of pixels, {low:g} to {high:g}, whatever the image is{meant}"
    ]


def _scale(teacher: Network, dataset: Dataset, name: str) -> list[str]:
    with torch.no_grad():
        normalised = teacher[0](dataset.images.to(next(teacher[0].buffers()).device)).double()
    mean, std = float(normalised.mean()), float(normalised.std(correction=0))
    if abs(mean) <= FAR and std <= WIDE:
        return []
    return [
        f"after the normalisation of {name} the images of {dataset.name} have mean {mean:.3g} and standard deviation {std:.3g}, where "
        "0 and 1 are usual: are they on the scale that it was trained on?"
    ]


def _accuracy(teacher: Network, dataset: Dataset, name: str) -> list[str]:
    place = next(teacher[0].buffers()).device
    if len(dataset) < FEW:
        return []
    pieces = zip(torch.split(dataset.images, PIECE), torch.split(dataset.labels, PIECE), strict=True)
    right = sum(int(metrics.correct(teacher, images.to(place), labels.to(place)).sum()) for images, labels in pieces)
    accuracy = right / len(dataset)
    if accuracy >= HALF:
        return []
    return [
        f"{name} is right on {percent(accuracy)} % of these {len(dataset)} images; what usually causes that are the scale of the pixels, "
        "their normalisation, the order of the channels, or labels that are numbered otherwise"
    ]
