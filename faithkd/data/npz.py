"""A data set of one's own: an `.npz` file with `images` and `labels`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faithkd.data.records import Dataset
from faithkd.errors import UserError


def read_npz(path: str | Path, split: str = "test", valid_range: tuple[float, float] | None = None) -> Dataset:
    """Read `images` and `labels` from an `.npz` file.

    images: `(n, ...)`, either uint8, divided by 255, or floating-point within `valid_range` ((0, 1) when None); three dimensions
    are grey images and get a channel axis, `(n, 1, height, width)`. labels: `(n,)` integers from 0. `classes`: an optional
    integer, otherwise the largest label + 1. Raises `UserError` for anything else.
    """
    path = Path(path)
    arrays = _arrays(path)
    smallest, largest = (0.0, 1.0) if valid_range is None else valid_range
    if not smallest < largest:
        raise UserError(f"the valid range must be a smaller and a larger number, but is {smallest:g} to {largest:g}")
    images = _images(path, arrays["images"], float(smallest), float(largest))
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
        valid_range=(float(smallest), float(largest)),
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give an .npz file with the arrays images and labels")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            missing = [name for name in ("images", "labels") if name not in names]
            if missing:
                raise UserError(
                    f"{path} must hold the arrays images and labels but has {', '.join(names) or 'none'}; "
                    f"save it with numpy.savez(path, images=..., labels=...)"
                )
            return {name: file[name] for name in ("images", "labels", "classes") if name in names}
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; give an .npz file with the arrays images and labels") from error
    except (OSError, ValueError, EOFError, AttributeError, MemoryError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a readable .npz file of plain numbers; save it with numpy.savez again"
        ) from error


def _images(path: Path, images: NDArray[Any], smallest: float, largest: float) -> NDArray[np.float32]:
    if images.ndim < 2 or images.size == 0:
        raise UserError(f"images in {path} must have shape (n, ...) with at least one image, but have {images.shape}")
    if images.ndim == 3:
        images = images[:, None]
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    elif not np.issubdtype(images.dtype, np.floating):
        raise UserError(
            f"images in {path} must be uint8 or floating-point numbers, but are {images.dtype}; convert them"
        )
    if not np.isfinite(images).all():
        raise UserError(f"images in {path} hold values that are NaN or infinite; remove those images")
    with np.errstate(over="ignore"):  # What overflows lies outside the range and is refused below.
        images = images.astype(np.float32)
    if images.min() < smallest or images.max() > largest:
        raise UserError(
            f"images in {path} hold values from {images.min():.4g} to {images.max():.4g}, outside the valid range "
            f"{smallest:g} to {largest:g}; scale them or give another valid range"
        )
    return np.ascontiguousarray(images)


def _labels(path: Path, labels: NDArray[Any], n: int) -> NDArray[np.int64]:
    if labels.shape != (n,):
        raise UserError(f"labels in {path} must have shape ({n},), one for each image, but have {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels in {path} must be integers, but are {labels.dtype}; convert them")
    if labels.min() < 0:
        raise UserError(f"labels in {path} must count from 0, but the smallest is {labels.min()}")
    return labels.astype(np.int64)


def _classes(path: Path, classes: NDArray[Any] | None, at_least: int) -> int:
    if classes is None:
        return at_least
    if classes.shape != () or not np.issubdtype(classes.dtype, np.integer) or classes < at_least:
        raise UserError(f"classes in {path} must be one integer of at least {at_least}, the largest label + 1")
    return int(classes)
