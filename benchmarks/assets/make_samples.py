"""Make the embedded samples from the full data: `python benchmarks/assets/make_samples.py [--data-dir DIR] [--out FOLDER]`.

Each `<data set>.npz` holds, for the first 1,000 test and 2,000 training images of numpy's `default_rng(0).permutation` of
their split and in that order, `<split>_images` (n, 28, 28) uint8, `<split>_labels` (n,) uint8 and `<split>_positions` (n,) int32.
The files carry no dates, so that making them again changes nothing.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faithkd import data
from faithkd.embedded import SAMPLES, sample_path
from faithkd.files import atomic

SIZES = {"test": 1000, "train": 2000}


def main() -> None:
    """Read the options and write one file for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with the published files")
    parser.add_argument("--out", type=Path, default=sample_path("mnist").parent, help="folder to write to")
    options = parser.parse_args()
    for name in SAMPLES.values():
        arrays = sample_arrays(name, options.data_dir)
        path = options.out / f"{name}.npz"
        write(path, arrays)
        print(f"{path}: {path.stat().st_size} bytes")


def sample_arrays(name: str, data_dir: str | None) -> dict[str, NDArray[np.integer]]:
    """The arrays of one embedded file."""
    arrays: dict[str, NDArray[np.integer]] = {}
    for split, size in SIZES.items():
        part = data.load(name, split, data_dir).sample(size, seed=0)
        arrays[f"{split}_images"] = np.rint(part.images.numpy()[:, 0] * 255).astype(np.uint8)
        arrays[f"{split}_labels"] = part.labels.numpy().astype(np.uint8)
        arrays[f"{split}_positions"] = part.positions.numpy().astype(np.int32)
    return arrays


def write(path: Path, arrays: dict[str, NDArray[np.integer]]) -> None:
    """Write an `.npz` with fixed dates, so that equal arrays give equal files."""
    with atomic(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
