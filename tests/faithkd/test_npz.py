"""`.npz` files of others: every way to write plain numbers is read right, all else is one sentence, soon and in little memory."""

import bz2
import io
import lzma
import os
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from faithkd import UserError, data
from faithkd.data.npy import ROOM
from tests.faithkd.memory import peak

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 0, 9, 3])
PIXELS = (BYTES / np.float32(255)).astype(np.float32)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(path: Path, packing: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    """A zip file of members `NAME.npy`, byte by byte."""
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def refused(path: Path, **how) -> str:
    with pytest.raises(UserError) as caught:
        data.load(path, **how)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600 and str(path) in message
    return message


# What is read


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["|u1", "<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "g", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_every_kind_are_the_same_pixels(tmp_path, save, kind, order):
    if kind == "|u1":
        images, expected = BYTES, PIXELS
    elif kind == "|b1":
        images, expected = BYTES > 127, (BYTES > 127).astype(np.float32)
    else:
        images = PIXELS.astype(kind)
        expected = images.astype(np.float32)
    save(tmp_path / "a.npz", images=np.array(images, order=order), labels=LABELS)
    dataset = data.load(tmp_path / "a.npz")
    assert dataset.images.dtype == torch.float32 and np.array_equal(dataset.images.numpy(), expected)
    assert dataset.labels.tolist() == LABELS.tolist() and dataset.classes == 10 and dataset.valid_range == (0.0, 1.0)


@pytest.mark.parametrize("kind", ["|i1", "|u1", "<i2", ">u2", "<u4", ">i8", "<u8"])
def test_labels_of_every_integer_kind(tmp_path, kind):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS.astype(kind), classes=np.array(12, kind))
    dataset = data.load(tmp_path / "a.npz")
    assert dataset.labels.dtype == torch.int64 and dataset.labels.tolist() == LABELS.tolist() and dataset.classes == 12


def test_what_else_stands_in_the_file_does_not_matter(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS, more=np.array([None, {}], dtype=object), text="abc")
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as file:
        file.writestr("/etc/passwd", b"")
        file.writestr("../../images.npy", b"")
        file.writestr("a.npy", b"no array")
    assert np.array_equal(data.load(tmp_path / "a.npz").images.numpy(), PIXELS)


def test_one_image_and_the_ends_of_the_range(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([[[0.0, 1.0]]]), labels=[0])
    assert data.load(tmp_path / "a.npz").images.tolist() == [[[[0.0, 1.0]]]]
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 4), np.uint8), labels=[0, 1])  # All black is an image.
    assert not data.load(tmp_path / "a.npz").images.any()


# What is refused, and what it says

WRONG = {
    "uint64 labels that wrap": ({"labels": np.array([2**64 - 1, 0, 0, 0], np.uint64)}, "number the classes"),
    "labels beyond all classes": ({"labels": np.array([10**9, 0, 0, 0])}, "number the classes"),
    "labels that are NaN": ({"labels": np.array([0, np.nan, 0, 0])}, "integers"),
    "labels that are truth values": ({"labels": np.ones(4, bool)}, "integers"),
    "labels that are objects": ({"labels": np.array([0, None, 2, 3], object)}, "plain numbers"),
    "labels without a dimension": ({"labels": np.array(3)}, "shape (4,)"),
    "labels in columns": ({"labels": LABELS[:, None]}, "shape (4,)"),
    "one-hot labels": ({"labels": np.eye(4, dtype=int)}, "shape (4,)"),
    "classes beyond all": ({"classes": 10**18}, "at least 10"),
    "classes of float": ({"classes": 10.0}, "one integer"),
    "complex images": ({"images": PIXELS + 0j}, "plain numbers"),
    "structured images": ({"images": np.zeros(4, [("r", "f4"), ("g", "f4")])}, "plain numbers"),
    "dates": ({"images": np.zeros((4, 1, 2, 2), "M8[s]")}, "plain numbers"),
    "words": ({"images": np.full((4, 1, 2, 2), "a")}, "plain numbers"),
    "objects": ({"images": np.array([[None], [1], [2], [3]], object)}, "plain numbers"),
    "one number": ({"images": np.array(0.5)}, "shape (n, ...)"),
    "a list": ({"images": np.zeros(4)}, "shape (n, ...)"),
    "integers": ({"images": BYTES.astype(np.int64)}, "int64 of 0 to 255"),
    "channels last, grey": ({"images": np.moveaxis(PIXELS, 1, -1)}, "numpy.moveaxis(images, -1, 1)"),
    "channels last, coloured": ({"images": np.zeros((4, 32, 32, 3))}, "numpy.moveaxis(images, -1, 1)"),
    "channels last, bytes": ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, "numpy.moveaxis(images, -1, 1)"),
    "shades of 0 to 255": ({"images": BYTES.astype(np.float32)}, "divide them by 255"),
    "shades of half the range": ({"images": BYTES.astype(np.float64) / 2}, "divide them by 255"),
    "normalised": ({"images": (PIXELS - 0.1307) / 0.3081}, "the network normalises them itself"),
    "from -1 to 1": ({"images": PIXELS * 2 - 1}, "images / 2 + 0.5"),
    "anything else": ({"images": PIXELS * 16}, "--valid-range"),
    "masks of uint8": ({"images": (BYTES > 127).astype(np.uint8)}, "images.astype(bool)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_one_sentence_that_says_what_to_do(tmp_path, case):
    arrays, words = WRONG[case]
    np.savez(tmp_path / "a.npz", **{"images": PIXELS, "labels": LABELS, **arrays})
    assert words in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("images", [BYTES, BYTES > 127])
def test_a_valid_range_is_for_floating_point_numbers(tmp_path, images):
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    assert "leave it out" in refused(tmp_path / "a.npz", valid_range=(0, 255))
    assert data.load(tmp_path / "a.npz", valid_range=(0, 1)).valid_range == (0.0, 1.0)
    np.savez(tmp_path / "a.npz", images=BYTES.astype(np.float32), labels=LABELS)
    assert data.load(tmp_path / "a.npz", valid_range=(0, 255)).images.max() == BYTES.max()


@pytest.mark.parametrize("valid_range", [(1.0, 0.0), (0.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_valid_ranges_that_are_none(tmp_path, valid_range):
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS)
    with pytest.raises(UserError, match="a smaller and a larger number"):
        data.load(tmp_path / "a.npz", valid_range=valid_range)


# Files that are written otherwise


def flagged(content: bytes, packing: int | None = None, flag: int = 0) -> bytes:
    """Another way of packing, or a flag, in the headers of all members."""
    changed = bytearray(content)
    for sign, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := changed.find(sign, start + 1)) >= 0:
            changed[start + place] |= flag
            if packing:
                changed[start + place + 2] = packing
    return bytes(changed)


def good(folder: Path) -> bytes:
    np.savez_compressed(folder / "good.npz", images=PIXELS, labels=LABELS)
    return (folder / "good.npz").read_bytes()


def header(shape: str, kind: str = "<f4", version: bytes = b"\x01\x00", more: str = "") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, {more}}}".ljust(117) + "\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


LABEL_BYTES = npy(LABELS)
FILES = {
    "deflate64": (lambda d: flagged(good(d), 9), "packed"),
    "zstandard": (lambda d: flagged(good(d), 93), "packed"),
    "password": (lambda d: flagged(good(d), flag=1), "password"),
    "bzip2": (lambda d: archive(d / "x", zipfile.ZIP_BZIP2, images=npy(PIXELS), labels=LABEL_BYTES), "packed"),
    "lzma": (lambda d: archive(d / "x", zipfile.ZIP_LZMA, images=npy(PIXELS), labels=LABEL_BYTES), "packed"),
    "corrupt lzma": (lambda d: archive(d / "x", zipfile.ZIP_LZMA, images=npy(PIXELS), labels=LABEL_BYTES).read_bytes().replace(
        lzma.compress(b"")[:2], b"??").replace(b"\x5d\0\0", b"\xff\0\0"), "packed"),
    "one array": (lambda d: npy(PIXELS), "one array (.npy)"),
    "empty": (lambda d: b"", "an empty file"),
    "a pickle": (lambda d: b"\x80\x04]\x94.", "a pickle"),
    "bzip2 alone": (lambda d: bz2.compress(npy(PIXELS)), "a bzip2 file"),
    "an HDF5 file": (lambda d: b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "a pointer": (lambda d: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "Git LFS"),
    "a web page": (lambda d: b"<!DOCTYPE html><html>not found</html>", "a web page"),
    "other text": (lambda d: b"images, labels\n0, 1\n", "a text file"),
    "no arrays": (lambda d: archive(d / "x"), "has none"),
    "other names": (lambda d: archive(d / "x", pictures=npy(PIXELS), labels=LABEL_BYTES), "lacks images (it has pictures, labels)"),
    "absolute names": (lambda d: archive(d / "x", **{"/images": npy(PIXELS), "/labels": LABEL_BYTES}), "lacks images and labels"),
    "a member of bytes": (lambda d: archive(d / "x", images=b"some bytes", labels=LABEL_BYTES), "damaged"),
    "an empty member": (lambda d: archive(d / "x", images=b"", labels=LABEL_BYTES), "damaged"),
    "a header alone": (lambda d: archive(d / "x", images=header("(4, 1, 28, 28)"), labels=LABEL_BYTES), "damaged"),
    "half a header": (lambda d: archive(d / "x", images=header("(4, 1)")[:50], labels=LABEL_BYTES), "damaged"),
    "bytes behind": (lambda d: archive(d / "x", images=npy(PIXELS) + b"0", labels=LABEL_BYTES), "damaged"),
    "bytes missing": (lambda d: archive(d / "x", images=npy(PIXELS)[:-1], labels=LABEL_BYTES), "damaged"),
    "no shape": (lambda d: archive(d / "x", images=header("None") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "a negative shape": (lambda d: archive(d / "x", images=header("(-4, -4)") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "a shape of floats": (lambda d: archive(d / "x", images=header("(4.0, 4)") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "a call in the header": (lambda d: archive(d / "x", images=header("exit(3)") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "brackets in the header": (lambda d: archive(d / "x", images=header("(" * 9000) + bytes(64), labels=LABEL_BYTES), "damaged"),
    "signs in the header": (lambda d: archive(d / "x", images=header("-" * 9000 + "1") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "more keys": (lambda d: archive(d / "x", images=header("(4, 4)", more="'x': 1") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "an unknown type": (lambda d: archive(d / "x", images=header("(4, 4)", "<q9") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "a pickled object": (lambda d: archive(d / "x", images=header("(4, 4)", "|O") + bytes(64), labels=LABEL_BYTES), "plain numbers"),
    "version 3": (lambda d: archive(d / "x", images=header("(4, 4)", version=b"\3\0") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "version 9": (lambda d: archive(d / "x", images=header("(4, 4)", version=b"\x09\0") + bytes(64), labels=LABEL_BYTES), "damaged"),
    "a huge shape": (lambda d: archive(d / "x", images=header(f"({10**15},)") + bytes(64), labels=LABEL_BYTES), "not believed"),
    "a shape of zero and more": (lambda d: archive(d / "x", images=header(f"(0, {10**20})"), labels=LABEL_BYTES), "damaged"),
    "twenty dimensions": (lambda d: archive(d / "x", images=header(str((1,) * 20)) + bytes(4), labels=LABEL_BYTES), "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_other_files_are_one_sentence(tmp_path, case):
    make, words = FILES[case]
    made = make(tmp_path)
    path = tmp_path / "a.npz"
    path.write_bytes(made if isinstance(made, bytes) else made.read_bytes())
    assert words in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for array in (PIXELS, 1 - PIXELS):
            file.writestr("images.npy", npy(array))
        file.writestr("labels.npy", LABEL_BYTES)
    assert "more than once" in refused(tmp_path / "a.npz")


def test_special_files_do_not_keep_one_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    (tmp_path / "folder.npz").mkdir()
    for name, words in (("pipe", "named pipe"), ("zero", "device"), ("folder", "folder"), ("none", "there is no file")):
        assert words in refused(tmp_path / f"{name}.npz")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["|u1", "<f8"])
def test_a_bomb_is_not_unpacked(tmp_path, kind):
    n = 2 * ROOM // (784 * max(4, np.dtype(kind).itemsize))
    whole = header(f"({n}, 28, 28)", kind) + bytes(n * 784 * np.dtype(kind).itemsize)
    path = archive(tmp_path / "a.npz", images=whole, labels=npy(np.zeros(n, int)))
    del whole
    assert path.stat().st_size < 2 * 10**6
    assert peak(lambda: refused(path)) < 2**22
    assert "not believed" in refused(path)


def test_labels_that_are_a_bomb(tmp_path):
    path = archive(tmp_path / "a.npz", images=npy(PIXELS), labels=header(f"({ROOM},)", "|u1") + bytes(ROOM))
    assert peak(lambda: refused(path)) < 2**22


def test_a_promise_that_is_not_kept_takes_no_memory(tmp_path):
    path = archive(tmp_path / "a.npz", images=header("(60000, 28, 28)") + bytes(64), labels=LABEL_BYTES)
    assert peak(lambda: refused(path)) < 2**22


def test_what_is_large_and_honest_is_read(tmp_path):
    """As large as the limit for a file of this size: nothing honest is kept out."""
    images = RNG.integers(0, 256, (20_000, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.zeros(len(images), int))
    read = data.load(tmp_path / "a.npz")
    assert read.images.shape == (20_000, 1, 28, 28) and read.images[-1].sum() == pytest.approx(images[-1].sum() / 255)


def test_any_damage_is_one_sentence_or_harmless(tmp_path):
    random.seed(1)
    whole, path = good(tmp_path), tmp_path / "a.npz"
    for _ in range(400):
        content = bytearray(whole)
        if random.random() < 0.3:
            del content[random.randrange(len(content)) :]
        for _ in range(random.choice([1, 1, 2, 8])):
            # Mostly where the headers are.
            low = random.choice([0, 0, max(0, len(content) - 250)])
            if len(content) > low:
                content[random.randrange(low, len(content))] = random.randrange(256)
        path.write_bytes(content)
        try:
            found = data.load(path)
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 700
        else:
            assert found.images.min() >= 0 and found.images.max() <= 1 and found.labels.min() >= 0
