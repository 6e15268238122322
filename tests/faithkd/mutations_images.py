"""Images of others: arrays, headers and published files that were damaged or are something else."""

import gzip
import re
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.faithkd.mutations_common import Case, damaged, reading_images, take


def arrays_of_others(seeds: Path, folder: Path, rng: Random) -> Case:
    """An `.npz` of other numbers, shapes and types."""
    with np.load(seeds / "own.npz") as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    arrays["images"] = arrays["images"] / np.float32(255) if rng.random() < 0.5 else arrays["images"]
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(("images", "labels"))
        if name in arrays:
            arrays[name] = _changed(arrays[name], rng)
    more = rng.randrange(8)
    if more == 0:
        arrays["classes"] = rng.choice((0, 9, 10, 11, -1, 10**9, 2**63 - 1, 1.5, "ten", [10, 10]))
    elif more == 1:
        arrays[rng.choice(("x", "images/a", "../x", "a" * 300))] = np.zeros(3)
    elif more == 2:
        arrays.pop(rng.choice(("images", "labels")))
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(folder / "own.npz", **arrays)
    if rng.random() < 0.25:
        (folder / "own.npz").write_bytes(damaged((folder / "own.npz").read_bytes(), rng))
    return Case(reading_images(seeds, folder, rng, "own.npz"))


def _changed(values: np.ndarray, rng: Random) -> np.ndarray:
    """Other numbers, types or shapes."""
    kind = rng.randrange(9)
    if kind == 0:
        odd = rng.choice(("u1", "i1", "u8", ">i4", "f2", ">f8", "c8", "?", "O", "U5", "S3", "M8[s]", "g"))
        with np.errstate(all="ignore"):
            return values.astype(odd)
    if kind == 1:
        others = values.reshape(-1), values[:0], values[:1], values[None], values[..., None], np.array(3), values[:-1]
        return rng.choice(others)
    if kind == 2:
        return np.asfortranarray(values)
    if kind == 3 and values.dtype.kind == "f" and values.size:
        values = values.copy()
        values.reshape(-1)[rng.randrange(values.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e38, -1, 2))
        return values
    if kind == 4 and values.dtype.kind in "iuf":
        with np.errstate(all="ignore"):
            return values * np.array(rng.choice((0, -1, 255, 2))).astype(values.dtype)
    if kind == 5 and values.ndim == 4:
        return np.moveaxis(values, 1, -1)
    if kind == 6 and values.dtype.kind in "iu":
        return values.astype("i8") + rng.choice((-1, 1, 1000, 2**40))
    if kind == 7 and values.dtype.kind == "u":
        return values // 200
    return np.repeat(values, 2, axis=-1) if values.ndim else values


SHAPES = (
    "()", "(0,)", "(12,)", "(10**9,)", "(1000000000, 28, 28)", "(-1,)", "None", "(12, 1, 28, 28.0)", "(" * 500, "-" * 9000, "exit(1)",
    "(True,)", "(9" + "9" * 300 + ",)", "(0, 99999999999999999999)",
)  # fmt: skip
KINDS = ("|O", "<f4", "|u1", "<U9", "|V3", "", "x", "<f1000000", "<M8[s]", ">i8")


def headers_of_arrays(seeds: Path, folder: Path, rng: Random) -> Case:
    """An `.npz` whose headers say something else, or that is packed otherwise."""
    with zipfile.ZipFile(seeds / "own.npz") as file:
        members = {entry.filename: file.read(entry) for entry in file.infolist()}
    name = rng.choice(list(members))
    size = struct.unpack("<H", members[name][8:10])[0]
    head, body = members[name][10 : 10 + size].decode(), members[name][10 + size :]
    kind = rng.randrange(7)
    if kind < 3:
        head = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {rng.choice(SHAPES)}", head)
    elif kind == 3:
        head = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': '{rng.choice(KINDS)}'", head)
    elif kind == 4:
        head = head.replace("False", rng.choice(("True", "1", "None", "'x'", "[]")))
    elif kind == 5:
        head = damaged(head.encode(), rng).decode("latin-1")
    else:
        body = rng.choice((b"", body + b"x", body[:-1], bytes(10**8)))
    encoded = head.encode("latin-1", "replace")
    version = rng.choice((b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\0\0", b"\xff\xff"))
    members[name] = b"\x93NUMPY" + version + struct.pack("<H", len(encoded) % 2**16) + encoded + body
    packings = zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
    with zipfile.ZipFile(folder / "own.npz", "w", rng.choice(packings), compresslevel=1) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return Case(reading_images(seeds, folder, rng, "own.npz"))


def published_files(seeds: Path, folder: Path, rng: Random) -> Case:
    """MNIST's or CIFAR-10's files with damaged bytes, before or after they are packed."""
    if rng.random() < 0.7:
        names = ("data/mnist/t10k-images-idx3-ubyte.gz", "data/mnist/t10k-labels-idx1-ubyte.gz")
        place = rng.choice(("data", "data/mnist"))
        command = reading_images(seeds, folder, rng, "mnist", "--data-dir", place)
    else:
        names = (rng.choice(("cifar/cifar-10-binary.tar.gz", "cifar/cifar-10-batches-py/test_batch")),)
        command = ["evaluate", "mnist-teacher", "--data", "cifar10", "--data-dir", "cifar"]
    take(seeds, folder, *names)
    path = folder / rng.choice(names)
    content = path.read_bytes()
    if path.suffix == ".gz" and rng.random() < 0.5:
        whole = damaged(gzip.decompress(content), rng)
        path.write_bytes(gzip.compress(whole, 1) if rng.random() < 0.7 else whole)
    else:
        path.write_bytes(damaged(content, rng))
    return Case(command)
