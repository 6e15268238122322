"""A data set of one's own: an `.npz` file with `images` and `labels`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faithkd.data.npy import read_arrays
from faithkd.data.records import Dataset
from faithkd.errors import UserError

MOST_CLASSES = 10**6


def read_npz(path: str | Path, split: str = "test", valid_range: tuple[float, float] | None = None) -> Dataset:
    """Read `images` and `labels` from an `.npz` file.

    images: `(n, ...)`, either uint8, divided by 255, or truth values, 0 and 1, or floating-point within `valid_range` ((0, 1) when
    None); three dimensions are grey images and get a channel axis, `(n, 1, height, width)`. labels: `(n,)` integers from 0. `classes`:
    an optional integer, otherwise the largest label + 1. Raises `UserError` for anything else.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no file {path}; give an .npz file with the arrays images and labels")
    if path.is_dir():
        raise UserError(f"{path} is a folder; give an .npz file with the arrays images and labels")
    smallest, largest = (0.0, 1.0) if valid_range is None else map(float, valid_range)
    if not (smallest < largest and math.isfinite(smallest) and math.isfinite(largest)):
        raise UserError(f"the valid range must be a smaller and a larger number, but is {smallest:g} to {largest:g}")
    arrays = read_arrays(path, ("images", "labels"), optional=("classes",))
    images = _images(path, arrays["images"], smallest, largest)
    labels = _labels(path, arrays["labels"], len(images))
    classes = _classes(path, arrays.get("classes"), int(labels.max()) + 1)
    return Dataset(
        name=path.stem,
        split=split,
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        positions=torch.arange(len(images)),
        classes=classes,
        full_size=len(images),
        valid_range=(smallest, largest),
    )


def _images(path: Path, images: NDArray[Any], smallest: float, largest: float) -> NDArray[np.float32]:
    if images.ndim < 2 or images.size == 0:
        raise UserError(f"images in {path} must have shape (n, ...) with at least one image, but have {images.shape}")
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[3] < min(images.shape[1:3]):
        raise UserError(
            f"images in {path} must have shape (n, channels, height, width), but have {images.shape}, the channels last; save "
            "numpy.moveaxis(images, -1, 1) instead"
        )
    if images.ndim == 3:
        images = images[:, None]
    if images.dtype in (np.uint8, np.bool_) and (smallest, largest) != (0.0, 1.0):
        raise UserError(
            f"images in {path} are {images.dtype}, which are read as pixels in [0, 1], but the valid range given is {smallest:g} to "
            f"{largest:g}; leave it out, or save floating-point numbers"
        )
    if images.dtype == np.uint8:
        if images.max() == 1:
            raise UserError(
                f"images in {path} are uint8 numbers of 0 and 1, which as shades of 0 to 255 are all but black; save images.astype(bool) "
                "for black and white"
            )
        return np.ascontiguousarray(images.astype(np.float32) / np.float32(255))
    if images.dtype != np.bool_ and not np.issubdtype(images.dtype, np.floating):
        raise UserError(
            f"images in {path} must be uint8 or floating-point numbers, but are {images.dtype} of {images.min()} to {images.max()}; "
            "convert them"
        )
    if not np.isfinite(images).all():
        raise UserError(f"images in {path} hold values that are NaN or infinite; remove those images")
    with np.errstate(over="ignore"):  # What overflows lies outside the range and is refused below.
        images = images.astype(np.float32)
    if images.min() < smallest or images.max() > largest:
        raise UserError(
            f"images in {path} hold values from {images.min():.4g} to {images.max():.4g}, outside the valid range "
            f"{smallest:g} to {largest:g}; {_advice(images)}"
        )
    return np.ascontiguousarray(images)


def _advice(images: NDArray[np.float32]) -> str:
    """What values outside [0, 1] most probably are. Another valid range is the last resort: networks read pixels in [0, 1]."""
    least, most = float(images.min()), float(images.max())
    if least >= 0 and 64 <= most <= 255:
        return "they look like shades of 0 to 255: divide them by 255"
    if least >= -1 and most <= 1:
        return "they look as if they were scaled to [-1, 1]: save images / 2 + 0.5"
    with np.errstate(all="ignore"):
        mean, std = float(images.mean(dtype=np.float64)), float(images.std(dtype=np.float64))
    if least < 0 and abs(mean) < 1.5 and 0.2 < std < 5:
        return (
            f"they look normalised (mean {mean:.2g}, standard deviation {std:.2g}): give pixels in [0, 1], the network normalises them "
            "itself"
        )
    return "scale them to [0, 1], or give another valid range (--valid-range) where the network reads such values"


def _labels(path: Path, labels: NDArray[Any], n: int) -> NDArray[np.int64]:
    if labels.shape != (n,):
        raise UserError(f"labels in {path} must have shape ({n},), one for each image, but have {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels in {path} must be integers, but are {labels.dtype}; convert them")
    if labels.min() < 0:
        raise UserError(f"labels in {path} must count from 0, but the smallest is {labels.min()}")
    if labels.max() >= MOST_CLASSES:
        raise UserError(f"labels in {path} must count from 0, but the largest is {labels.max()}; number the classes")
    return labels.astype(np.int64)


def _classes(path: Path, classes: NDArray[Any] | None, at_least: int) -> int:
    if classes is None:
        return at_least
    whole = classes.shape == () and np.issubdtype(classes.dtype, np.integer)
    if not whole or not at_least <= classes <= MOST_CLASSES:
        raise UserError(f"classes in {path} must be one integer of at least {at_least}, the largest label + 1")
    return int(classes)
