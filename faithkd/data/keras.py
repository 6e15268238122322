"""MNIST as Keras keeps it: one `mnist.npz` with the arrays `x_train`, `y_train`, `x_test` and `y_test`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faithkd.archives import open_zip
from faithkd.data.catalogue import Published
from faithkd.data.npy import LARGEST, read_arrays
from faithkd.data.source import check_range, file_at
from faithkd.errors import UserError


def place(folder: Path, published: Published, split: str) -> Path | None:
    """The file in a folder, or None; a file of that name with other arrays is not meant."""
    path = file_at(folder, f"{published.name}.npz")
    if path is None:
        return None
    try:
        with open_zip(path, LARGEST) as archive:
            return path if {f"x_{split}.npy", f"y_{split}.npy"} <= set(archive.namelist()) else None
    except UserError:
        return None


def read(path: Path, published: Published, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images `(n, height, width)` and labels `(n,)` of a split. Raises `UserError` when they are not such arrays of bytes."""
    images, labels = read_arrays(path, (f"x_{split}", f"y_{split}")).values()
    bytes_ = images.dtype == np.uint8 and np.issubdtype(labels.dtype, np.integer)
    if not bytes_ or images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UserError(
            f"{path} must hold {published.title}'s images as uint8 numbers (n, height, width) with a label each, but they are "
            f"{images.dtype} {images.shape}; delete it and download it again"
        )
    check_range(published, labels, path)
    return images, labels.astype(np.uint8)
