"""The published files of Tiny-ImageNet: JPEG files in a folder for each class, unpacked or in their zip file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faithkd.archives import open_zip, read_member
from faithkd.data.catalogue import Published
from faithkd.data.source import check_count, check_range, file_at, unpacked
from faithkd.errors import UserError
from faithkd.files import read_bytes

ARCHIVE = "tiny-imagenet-200.zip"
FOLDER = "tiny-imagenet-200"
LARGEST_FILE, LARGEST_ARCHIVE = 10**7, 10**9
"""Bytes of a file and of the archive; the published ones have up to half a million and 248 million."""
_CLASSES = "wnids.txt"
_ANNOTATIONS = "val/val_annotations.txt"

Read = Callable[[str], bytes]


def holds(folder: Path, published: Published, split: str) -> bool:
    """Does a folder have the data set, unpacked or not."""
    return _place(folder, published) is not None


def read(folder: Path, published: Published, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images `(n, 3, 64, 64)` and labels of a split; a label is a class's place in the sorted list of WordNet names.

    The test split is the published validation part: the labels of the published test part are not public. Raises `UserError` when
    the files are damaged or are not the published ones, and when Pillow, which reads them, is not installed.
    """
    place = _place(folder, published) or folder
    with _opened(place) as content:
        classes = {name: label for label, name in enumerate(sorted(content(_CLASSES).decode(errors="replace").split()))}
        files = (
            _train_files(classes, published) if split == "train" else _test_files(content(_ANNOTATIONS), classes, place)
        )
        check_count(published, split, len(files), place)
        labels = np.array([label for _, label in files], dtype=np.int64)
        check_range(published, labels, place)
        images = np.empty((len(files), *published.image_shape), dtype=np.uint8)
        for k, (name, _) in enumerate(files):
            images[k] = _decoded(content(name), published.image_shape, f"{name} of {place}")
    return images, labels


def _place(folder: Path, published: Published) -> Path | None:
    """The folder of the unpacked files, or the archive."""
    return unpacked(folder, published, FOLDER, (_CLASSES, _ANNOTATIONS)) or file_at(folder, ARCHIVE)


def _train_files(classes: dict[str, int], published: Published) -> list[tuple[str, int]]:
    each = published.sizes["train"] // published.classes
    return [(f"train/{name}/images/{name}_{k}.JPEG", label) for name, label in classes.items() for k in range(each)]


def _test_files(annotations: bytes, classes: dict[str, int], place: Path) -> list[tuple[str, int]]:
    """Lines of a file's name, its class and a box."""
    lines = [line.split("\t") for line in annotations.decode(errors="replace").splitlines()]
    if any(len(line) < 2 or line[1] not in classes or "/" in line[0] for line in lines):
        raise UserError(f"{_ANNOTATIONS} of {place} names classes that {_CLASSES} does not; fetch the data set again")
    return [(f"val/images/{line[0]}", classes[line[1]]) for line in lines]


@contextmanager
def _opened(place: Path) -> Iterator[Read]:
    """A function that reads a file by its name inside the data set's folder."""
    if place.is_dir():
        yield lambda name: _loose(place, name)
    else:
        with open_zip(place, LARGEST_ARCHIVE) as archive:
            yield lambda name: read_member(archive, f"{FOLDER}/{name}", LARGEST_FILE)


def _loose(place: Path, name: str) -> bytes:
    if not (place / name).exists():
        raise UserError(f"{place} lacks a file of the data set ({name}); delete it and fetch it again")
    return read_bytes(place / name, LARGEST_FILE)


def _decoded(content: bytes, shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    """The pixels `(3, height, width)` of a JPEG file; grey ones get three equal channels."""
    image_module = _pillow()
    try:
        with image_module.open(io.BytesIO(content), formats=("JPEG",)) as image:
            if image.size != (shape[2], shape[1]):
                raise UserError(
                    f"{where} is an image of {image.size[0]} x {image.size[1]}, not {shape[2]} x {shape[1]}"
                )
            pixels: NDArray[np.uint8] = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, image_module.DecompressionBombError) as error:
        raise UserError(f"{where} is not a readable JPEG file; fetch the data set again") from error
    return pixels.transpose(2, 0, 1)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError("reading JPEG files needs Pillow; install it with pip install 'faithkd[images]'") from error
    return Image
