"""Data sets: every reader and place, what is refused, and downloads from a real server."""

import functools
import gzip
import hashlib
import http.server
import os
import resource
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from faithkd import UserError, data
from faithkd.data.catalogue import MNIST, PUBLISHED, PublishedFile
from faithkd.data.idx import read_idx
from faithkd.data.lookup import cache_folder
from faithkd.data.records import Dataset
from faithkd.embedded import SAMPLES
from tests.faithkd.memory import peak

FULL = [name for name in SAMPLES.values() if os.environ.get("FAITHKD_DATA") and data.where(name) is not None]
LABEL_COUNTS = {  # of the test splits, as their publishers give them
    "mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    "fashion-mnist": [1000] * 10,
}


def idx(array: np.ndarray) -> bytes:
    """The IDX bytes of an array, number by number."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape)
    return header + b"".join(struct.pack("B", int(value)) for value in array.flatten())


def refused(call) -> str:
    """The message of the `UserError` that a call must raise: one line, one sentence."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and 20 < len(message) < 600
    return message


@pytest.fixture
def small(tmp_path, monkeypatch):
    """MNIST shrunk to 7 test images, written as its published files in `tmp_path/source`; returns that folder."""
    rng = np.random.default_rng(3)
    arrays = rng.integers(0, 256, (7, 28, 28)), np.arange(7)
    source = tmp_path / "source"
    source.mkdir()
    files = []
    for file, array in zip(MNIST.files["test"], arrays, strict=True):
        content = gzip.compress(idx(array), mtime=0)
        (source / file.name).write_bytes(content)
        files.append(PublishedFile(file.name, len(content), hashlib.sha256(content).hexdigest()))
    shrunk = replace(MNIST, files={**MNIST.files, "test": tuple(files)}, sizes={**MNIST.sizes, "test": 7}, mirrors=())
    monkeypatch.setitem(PUBLISHED, "mnist", shrunk)
    monkeypatch.delenv("FAITHKD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return source


@pytest.fixture
def mirror(small, monkeypatch):
    """A web server of the folder `small`; gives its address and the list of paths that were asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=small))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


# The record


@given(st.integers(1, 60), st.data(), st.integers(0, 2**32))
def test_sample_is_the_permutation_of_the_full_split_cut_to_what_is_at_hand(full_size, draw, seed):
    held = draw.draw(st.lists(st.integers(0, full_size - 1), min_size=1, unique=True))
    n = draw.draw(st.integers(1, len(held)))
    positions = torch.tensor(held)
    part = Dataset("any", "test", positions[:, None].float(), positions % 3, positions, 3, full_size)
    expected = [place for place in np.random.default_rng(seed).permutation(full_size) if place in held][:n]
    sample = part.sample(n, seed)
    assert sample.positions.tolist() == expected
    assert sample.images[:, 0].tolist() == expected and sample.labels.tolist() == [place % 3 for place in expected]


def test_record_unpacks_and_takes_parts():
    whole = data.load("mnist-sample")
    images, labels = whole.take(torch.tensor([5, 2]))
    assert torch.equal(images, whole.images[[5, 2]]) and torch.equal(labels, whole.labels[[5, 2]])
    assert len(whole.take(whole.labels == 4)) == int((whole.labels == 4).sum())


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (1001, 0), (-1, 0), (5, -1)])
def test_impossible_samples_are_refused(n, seed):
    refused(lambda: data.load("mnist-sample").sample(n, seed))


# The embedded samples and the full data


@pytest.mark.parametrize("name", SAMPLES.values())
@pytest.mark.parametrize(("split", "size", "full_size"), [("test", 1000, 10000), ("train", 2000, 60000)])
def test_embedded_samples(name, split, size, full_size):
    sample = data.load(f"{name}-sample", split)
    assert sample.images.shape == (size, 1, 28, 28) and sample.images.dtype == torch.float32
    assert (sample.images.min(), sample.images.max()) == (0, 1)
    assert sample.positions.tolist() == np.random.default_rng(0).permutation(full_size)[:size].tolist()
    assert sample.labels.dtype == torch.int64 and sample.labels.bincount(minlength=10).min() > size / 15
    assert sample.images.mean().item() == pytest.approx(sample.mean, abs=0.01)
    assert sample.images.std().item() == pytest.approx(sample.std, abs=0.01)
    assert torch.equal(sample.images, ((sample.images.double() * 255).round() / 255).float())


if FULL:  # Where the full data are not there, there is nothing to compare with.

    @pytest.mark.parametrize("name", FULL)
    def test_full_data_are_the_published_ones_and_agree_with_the_sample(name):
        full, sample = data.load(name), data.load(f"{name}-sample")
        assert full.labels.bincount().tolist() == LABEL_COUNTS[name]
        assert torch.equal(full.images[sample.positions], sample.images)
        assert torch.equal(full.labels[sample.positions], sample.labels)
        for one, other in zip(full.sample(37, 0), sample.sample(37, 0), strict=True):
            assert torch.equal(one, other)

    @pytest.mark.parametrize("name", FULL)
    def test_full_training_data_have_the_published_statistics(name):
        full, sample = data.load(name, "train"), data.load(f"{name}-sample", "train")
        assert full.images.double().mean().item() == pytest.approx(full.mean, abs=1e-4)
        assert full.images.double().std().item() == pytest.approx(full.std, abs=1e-4)
        assert torch.equal(full.sample(2000, 0).images, sample.images)

    @pytest.mark.parametrize("name", FULL)
    def test_published_checksums_are_those_of_the_full_data(name):
        for files in PUBLISHED[name].files.values():
            for file in files:
                content = (data.where(name) / file.name).read_bytes()
                assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


# Names and places


def test_unknown_names_are_refused_with_a_suggestion():
    assert "did you mean mnist?" in refused(lambda: data.load("mnst"))
    assert "unknown split" in refused(lambda: data.load("mnist-sample", "validation"))
    assert ".npz file only" in refused(lambda: data.load("mnist-sample", valid_range=(0, 2)))
    assert "unknown data set" in refused(lambda: data.fetch("cifar-11"))


@pytest.mark.parametrize("subfolder", ["mnist", "MNIST/raw", "."])
@pytest.mark.parametrize("compressed", [True, False])
def test_layouts(small, tmp_path, subfolder, compressed):
    folder = tmp_path / "given" / subfolder
    folder.mkdir(parents=True)
    for path in small.iterdir():
        content = path.read_bytes()
        name = path.name if compressed else path.name.removesuffix(".gz")
        (folder / name).write_bytes(content if compressed else gzip.decompress(content))
    dataset = data.load("mnist", data_dir=tmp_path / "given", download=False)
    assert dataset.labels.tolist() == list(range(7)) and dataset.positions.tolist() == list(range(7))
    expected = np.random.default_rng(3).integers(0, 256, (7, 28, 28)).astype(np.float32) / np.float32(255)
    assert np.array_equal(dataset.images[:, 0].numpy(), expected)


def test_the_file_of_keras(small, tmp_path):
    rng = np.random.default_rng(5)
    images, labels = rng.integers(0, 256, (7, 28, 28), dtype=np.uint8), np.arange(7, dtype=np.uint8)
    other = {"x_train": images[::-1], "y_train": labels[::-1]}
    (tmp_path / "given").mkdir()
    np.savez(tmp_path / "given" / "mnist.npz", x_test=images, y_test=labels, **other)
    dataset = data.load("mnist", data_dir=tmp_path / "given", download=False)
    assert dataset.labels.tolist() == list(range(7)) and dataset.mean == MNIST.mean
    assert np.array_equal(dataset.images[:, 0].numpy(), images.astype(np.float32) / np.float32(255))
    for images_, labels_, says in (
        (images[:6], labels[:6], "holds 6 items"),
        (images / 255, labels, "uint8"),
        (images, labels + 9, "holds the label 15"),
        (images, labels.astype(int) + 256, "holds the label 262"),
        (images[0], labels, "(28, 28)"),
    ):
        np.savez(tmp_path / "given" / "mnist.npz", x_test=images_, y_test=labels_)
        assert says in refused(lambda: data.load("mnist", data_dir=tmp_path / "given", download=False))
    np.savez(tmp_path / "given" / "mnist.npz", images=images, labels=labels)
    assert data.where("mnist", "test", tmp_path / "given") is None


def test_order_of_places(small, tmp_path, monkeypatch):
    def put(folder: Path) -> Path:
        (folder / "mnist").mkdir(parents=True)
        for path in small.iterdir():
            (folder / "mnist" / path.name).write_bytes(path.read_bytes())
        return folder / "mnist"

    assert data.where("mnist", "test") is None
    cached = put(cache_folder())
    assert cache_folder() == tmp_path / "cache" / "faithkd" and data.where("mnist", "test") == cached
    named = put(tmp_path / "named")
    monkeypatch.setenv("FAITHKD_DATA", str(named.parent))
    assert data.where("mnist", "test") == named
    given = put(tmp_path / "given")
    assert data.where("mnist", "test", given.parent) == given
    assert data.where("mnist", "test", tmp_path / "elsewhere") is None
    assert data.where("mnist") is None  # the training split is nowhere


def test_relative_cache_folder_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "faithkd"


def test_files_of_another_data_set_are_told_by_their_labels(tmp_path, monkeypatch):
    labels = np.zeros(10000, dtype=np.uint8)
    digest = hashlib.sha256(labels.tobytes()).hexdigest()
    fashion = PUBLISHED["fashion-mnist"]
    monkeypatch.setitem(PUBLISHED, "fashion-mnist", replace(fashion, label_digests={"train": "", "test": digest}))
    for folder in (tmp_path / "own", tmp_path / "mixed" / "mnist"):
        folder.mkdir(parents=True)
        (folder / "t10k-images-idx3-ubyte").write_bytes(
            struct.pack(">4B3I", 0, 0, 8, 3, 10000, 28, 28) + bytes(7840000)
        )
        (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    assert data.where("mnist", "test", tmp_path / "own") is None
    assert data.where("fashion-mnist", "test", tmp_path / "own") == tmp_path / "own"
    assert "is a file of fashion-mnist" in refused(lambda: data.load("mnist", data_dir=tmp_path / "mixed"))


# Damaged and wrong files


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_idx_arrays_come_back(tmp_path, array, compressed):
    path = tmp_path / "any"
    path.write_bytes(gzip.compress(idx(array)) if compressed else idx(array))
    read = read_idx(path, array.ndim)
    assert read.dtype == np.uint8 and np.array_equal(read, array)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_idx_files_cut_short_are_refused(tmp_path, draw):
    content = gzip.compress(idx(np.arange(60).reshape(5, 4, 3)))
    if draw.draw(st.booleans()):
        content = gzip.decompress(content)
    path = tmp_path / "any"
    path.write_bytes(content[: draw.draw(st.integers(0, len(content) - 1))])
    refused(lambda: read_idx(path, 3))


IMAGES, LABELS = (file.name for file in MNIST.files["test"])


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (IMAGES, gzip.compress(b"<html>not found</html>", mtime=0), "not an IDX file"),
        (IMAGES, b"", "not an IDX file"),
        (IMAGES, b"\x1f\x8b" + bytes(50), "damaged or truncated gzip"),
        (IMAGES, idx(np.zeros((7, 28, 28)))[:-1], "promises 5488"),
        (IMAGES, idx(np.zeros((7, 28, 28))) + b"0", "holds more than 5488 bytes"),
        (IMAGES, idx(np.zeros((6, 28, 28))), "holds 6 items"),
        (IMAGES, idx(np.zeros((7, 32, 32))), "shape (32, 32)"),
        (IMAGES, idx(np.zeros(7)), "not an IDX file"),
        (LABELS, idx(np.zeros((7, 28, 28))), "not an IDX file"),
        (LABELS, idx(np.zeros(8)), "holds 8 items"),
        (LABELS, idx(np.full(7, 10)), "holds the label 10"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_damaged_and_wrong_files_are_refused(small, file, content, says):
    (small / file).write_bytes(content)
    assert says in refused(lambda: data.load("mnist", data_dir=small, download=False))


@pytest.mark.parametrize("shape", [(2**31, 2**10, 2**10), (2**32 - 1,) * 3, (0, 28, 28), (2**20, 2**5, 2**5)])
def test_an_idx_file_that_promises_too_much_or_nothing(tmp_path, shape):
    for pack in (bytes, gzip.compress):
        (tmp_path / "any").write_bytes(pack(struct.pack(">4B3I", 0, 0, 8, 3, *shape) + bytes(1000)))
        assert peak(lambda: refused(lambda: read_idx(tmp_path / "any", 3))) < 2**20
        assert "promises" in refused(lambda: read_idx(tmp_path / "any", 3))


def test_an_idx_file_that_unpacks_to_more_than_it_promises(tmp_path):
    with gzip.open(tmp_path / "any", "wb", 1) as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, 7, 28, 28))
        for _ in range(200):
            file.write(bytes(2**20))
    assert peak(lambda: refused(lambda: read_idx(tmp_path / "any", 3))) < 2**20
    assert "more than 5488 bytes" in refused(lambda: read_idx(tmp_path / "any", 3))


def test_an_idx_file_with_a_wrong_sum_is_damaged(tmp_path):
    content = bytearray(gzip.compress(idx(np.arange(60).reshape(5, 4, 3))))
    content[-8] ^= 1
    (tmp_path / "any").write_bytes(content)
    assert "damaged" in refused(lambda: read_idx(tmp_path / "any", 3))


def test_special_files_among_the_data_do_not_keep_one_waiting(small, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for kind in ("pipe", "/dev/zero"):
        (small / LABELS).unlink()
        (small / LABELS).symlink_to(tmp_path / kind)
        assert LABELS in refused(lambda: data.load("mnist", data_dir=small, download=False))
    assert "named pipe" in refused(lambda: read_idx(tmp_path / "pipe", 1))


# Download


def test_download_goes_on_to_the_next_mirror_and_happens_once(mirror, tmp_path, monkeypatch):
    address, asked = mirror
    monkeypatch.setitem(PUBLISHED, "mnist", replace(PUBLISHED["mnist"], mirrors=(address + "nothing/", address)))
    dataset = data.load("mnist")
    assert dataset.labels.tolist() == list(range(7))
    folder = tmp_path / "cache" / "faithkd" / "mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted((IMAGES, LABELS))
    count = len(asked)
    assert data.load("mnist").labels.tolist() == list(range(7)) and data.fetch("mnist", split="test") == folder
    assert len(asked) == count


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:-1] + b"x", lambda content: content[:-9], lambda content: content + b"x"]
)
def test_a_download_that_is_not_the_published_file_leaves_nothing(mirror, small, tmp_path, spoil):
    (small / IMAGES).write_bytes(spoil((small / IMAGES).read_bytes()))
    message = refused(lambda: data.fetch("mnist", tmp_path / "to", split="test", mirrors=(mirror[0],)))
    assert "SHA-256" in message and IMAGES in message and str(tmp_path / "to" / "mnist") in message
    assert not (tmp_path / "to").exists()


def test_a_damaged_file_is_fetched_again(mirror, small, tmp_path):
    target = tmp_path / "to" / "mnist" / LABELS
    target.parent.mkdir(parents=True)
    target.write_bytes(b"broken")
    data.fetch("mnist", tmp_path / "to", split="test", mirrors=(mirror[0],))
    assert target.read_bytes() == (small / LABELS).read_bytes()


def test_without_a_network_the_error_says_what_to_put_where(small, tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        nobody = f"http://127.0.0.1:{server.server_port}/"
    message = refused(lambda: data.fetch("mnist", tmp_path / "to", split="test", mirrors=(nobody,)))
    for part in (IMAGES, LABELS, str(tmp_path / "to" / "mnist"), "--data-dir", "FAITHKD_DATA", "refused"):
        assert part in message
    assert not (tmp_path / "to").exists()
    message = refused(lambda: data.load("mnist", download=False))
    assert IMAGES in message and str(tmp_path / "cache") in message


def test_full_disk_and_forbidden_folder_leave_nothing(mirror, small, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        message = refused(lambda: data.fetch("mnist", tmp_path / "to", split="test", mirrors=(mirror[0],)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write" in message and not (tmp_path / "to").exists()
    (tmp_path / "file").write_bytes(b"")
    assert "cannot write" in refused(lambda: data.fetch("mnist", tmp_path / "file", split="test", mirrors=(mirror[0],)))


# .npz files


def test_npz_of_bytes_and_of_numbers(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "bytes.npz", images=pixels, labels=np.array([0, 2, 1, 1, 0], dtype=np.uint8), extra=1)
    dataset = data.load(tmp_path / "bytes.npz")
    assert dataset.images.shape == (5, 1, 4, 3) and dataset.name == "bytes" and dataset.classes == 3
    assert torch.equal(dataset.images[:, 0], torch.from_numpy(pixels).float() / 255)
    assert (dataset.mean, dataset.std, dataset.full_size) == (None, None, 5)
    numbers = np.linspace(-2, 3, 30).reshape(5, 2, 1, 3)
    np.savez(tmp_path / "numbers.npz", images=numbers, labels=np.zeros(5, dtype=int), classes=4)
    dataset = data.load(str(tmp_path / "numbers.npz"), valid_range=(-2, 3))
    assert np.array_equal(dataset.images.numpy(), numbers.astype(np.float32))
    assert (dataset.valid_range, dataset.classes) == ((-2.0, 3.0), 4)


GOOD = {"images": np.full((3, 2, 2), 0.5), "labels": np.array([0, 1, 2])}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": GOOD["images"], "y": GOOD["labels"]}, "has x, y"),
        ({"images": GOOD["images"]}, "images and labels"),
        ({**GOOD, "images": np.full((3, 2, 2), np.nan)}, "NaN"),
        ({**GOOD, "images": np.full((3, 2, 2), np.inf)}, "infinite"),
        ({**GOOD, "images": np.full((3, 2, 2), 1e300)}, "outside the valid range"),
        ({**GOOD, "images": np.full((3, 2, 2), 1.5)}, "outside the valid range"),
        ({**GOOD, "images": np.full((3, 2, 2), -1e-9)}, "outside the valid range"),
        ({**GOOD, "images": np.full((3, 2, 2), 7)}, "uint8 or floating-point"),
        ({**GOOD, "images": np.full(3, 0.5)}, "shape (n, ...)"),
        ({**GOOD, "images": np.zeros((0, 2, 2))}, "at least one image"),
        ({**GOOD, "images": np.array([None, {}, []], dtype=object)}, "plain numbers"),
        ({**GOOD, "labels": np.array([0, 1])}, "shape (3,)"),
        ({**GOOD, "labels": np.array([[0], [1], [2]])}, "shape (3,)"),
        ({**GOOD, "labels": np.array([0.0, 1.0, 2.0])}, "integers"),
        ({**GOOD, "labels": np.array(["a", "b", "c"])}, "plain numbers"),
        ({**GOOD, "labels": np.array([0, -1, 2])}, "count from 0"),
        ({**GOOD, "classes": 2}, "at least 3"),
        ({**GOOD, "classes": np.array([3, 3])}, "one integer"),
    ],
)
def test_wrong_npz_files_are_refused(tmp_path, arrays, says):
    path = tmp_path / "any.npz"
    np.savez(path, **arrays)
    assert says in refused(lambda: data.load(path))


def test_npz_files_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "any.npz"
    assert "there is no file" in refused(lambda: data.load(path))
    np.savez_compressed(path, **GOOD)
    content = path.read_bytes()
    for wrong in (b"", b"text", content[:-40], content[:60], content[:100] + bytes(60) + content[160:]):
        path.write_bytes(wrong)
        assert "numpy.savez" in refused(lambda: data.load(path))
    np.savez(path, **GOOD)
    assert "a smaller and a larger number" in refused(lambda: data.load(path, valid_range=(1.0, 0.0)))
    folder = tmp_path / "folder.npz"
    folder.mkdir()
    assert "is a folder" in refused(lambda: data.load(folder))


def test_import_is_quick():
    code = (
        "import sys, faithkd, faithkd.card, faithkd.data.lookup, faithkd.data.download; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
