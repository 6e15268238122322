"""CIFAR and Tiny-ImageNet from made-up published files: every form, what is refused, download, the commands, crops and flips."""

import gzip
import hashlib
import io
import itertools
import os
import pickle
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faithkd import UserError, data
from faithkd.data.catalogue import PUBLISHED, PublishedFile
from faithkd.data.cifar import read_python
from tests.faithkd.memory import peak
from tests.faithkd.running import run
from tests.faithkd.writing import images_and_labels, python_2_pickle, records, shrink

SIZES = {"train": 20, "test": 6}
ARCHIVES = {
    ("cifar10", "binary"): ("cifar-10-binary.tar.gz", "cifar-10-batches-bin"),
    ("cifar10", "python"): ("cifar-10-python.tar.gz", "cifar-10-batches-py"),
    ("cifar100", "binary"): ("cifar-100-binary.tar.gz", "cifar-100-binary"),
    ("cifar100", "python"): ("cifar-100-python.tar.gz", "cifar-100-python"),
}


def refused(call) -> str:
    """The message of the `UserError` that a call must raise: one line, one sentence."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and 20 < len(message) < 600
    return message


def arrays(name: str, split: str):
    return images_and_labels(SIZES[split], PUBLISHED[name].classes, ["train", "test"].index(split))


def batches(name: str, form: str) -> dict[str, bytes]:
    """The files of one form by their names, made without the reader."""
    files = {}
    for split in SIZES:
        images, labels = arrays(name, split)
        for k, part in enumerate(
            np.array_split(np.arange(len(labels)), 5 if split == "train" and name == "cifar10" else 1)
        ):
            if name == "cifar10":
                stem = f"data_batch_{k + 1}" if split == "train" else "test_batch"
            else:
                stem = split
            if form == "binary":
                files[f"{stem}.bin"] = records(images[part], labels[part], coarse=name == "cifar100")
            else:
                key = b"fine_labels" if name == "cifar100" else b"labels"
                files[stem] = python_2_pickle(images[part], labels[part], key)
    return files


def put(folder: Path, name: str, form: str, layout: str) -> None:
    """Write one form: `inner` and `bare` are the unpacked files, with and without their own folder."""
    archive, inner = ARCHIVES[name, form]
    folder.mkdir(parents=True, exist_ok=True)
    if layout in ("inner", "bare"):
        place = folder / inner if layout == "inner" else folder
        place.mkdir(exist_ok=True)
        for file, content in batches(name, form).items():
            (place / file).write_bytes(content)
        return
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file, content in reversed(batches(name, form).items()):
            member = tarfile.TarInfo(f"{inner}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    if layout == "tar":
        (folder / archive.removesuffix(".gz")).write_bytes(packed.getvalue())
    else:
        (folder / archive).write_bytes(gzip.compress(packed.getvalue(), mtime=0))


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    """Every data set shrunk, and no other places to look in."""
    for name in ("cifar10", "cifar100"):
        shrink(monkeypatch, name, SIZES["train"], SIZES["test"], mirrors=())
    monkeypatch.delenv("FAITHKD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# Every form gives the same


@pytest.mark.parametrize("layout", ["inner", "bare", "tar", "tar.gz"])
@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_every_published_form_is_read(tmp_path, name, form, layout):
    put(tmp_path / name, name, form, layout)
    for split in SIZES:
        dataset = data.load(name, split, tmp_path, download=False)
        images, labels = arrays(name, split)
        assert torch.equal(dataset.images, torch.from_numpy(images.astype(np.float32) / np.float32(255)))
        assert dataset.labels.tolist() == labels.tolist() and dataset.labels.dtype == torch.int64
        assert dataset.positions.tolist() == list(range(SIZES[split])) and dataset.classes == PUBLISHED[name].classes
        assert dataset.mean == PUBLISHED[name].mean and dataset.image_shape == (3, 32, 32)


def test_places_and_the_better_form(tmp_path):
    assert data.where("cifar10", data_dir=tmp_path) is None
    put(tmp_path, "cifar10", "python", "inner")  # As torchvision leaves it.
    assert data.where("cifar10", data_dir=tmp_path) == tmp_path
    assert data.where("cifar10", data_dir=tmp_path / "cifar-10-batches-py") == tmp_path / "cifar-10-batches-py"
    assert data.where("cifar100", data_dir=tmp_path) is None
    put(tmp_path, "cifar10", "binary", "inner")
    for k in range(1, 6):
        (tmp_path / "cifar-10-batches-py" / f"data_batch_{k}").write_bytes(b"not read")
    assert len(data.load("cifar10", "train", tmp_path)) == SIZES["train"]
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").unlink()
    assert "not a batch" in refused(lambda: data.load("cifar10", "train", tmp_path))


# Wrong and damaged files


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: content[:-1], "no multiple of a record's 3073"),
        (lambda content: b"", "no multiple"),
        (lambda content: content[:-3073], "holds 5 items"),
        (lambda content: content * 2, "holds 12 items"),
        (lambda content: bytes([10]) + content[1:], "holds the label 10"),
    ],
)
def test_wrong_binary_files_are_refused(tmp_path, spoil, says):
    put(tmp_path, "cifar10", "binary", "inner")
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(spoil(path.read_bytes()))
    message = refused(lambda: data.load("cifar10", "test", tmp_path))
    assert says in message and str(path.parent) in message


def test_damaged_and_foreign_archives_are_refused(tmp_path):
    put(tmp_path, "cifar10", "binary", "tar.gz")
    path = tmp_path / "cifar-10-binary.tar.gz"
    whole = path.read_bytes()
    for content in (b"", b"<html>", whole[: len(whole) // 2], whole[:40] + bytes(400) + whole[440:]):
        path.write_bytes(content)
        assert str(path) in refused(lambda: data.load("cifar10", "train", tmp_path))
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    assert "does not hold test_batch.bin" in refused(lambda: data.load("cifar10", "test", tmp_path))


def bomb(path: Path, member: tarfile.TarInfo, count: int, size: int = 2**20, before: int = 0) -> None:
    """An archive with small members first, then a member of `count` pieces of zeros."""
    with gzip.open(path, "wb", 1) as file:
        for k in range(before):
            file.write(tarfile.TarInfo(f"file{k}").tobuf())
        file.write(member.tobuf())
        for _ in range(count):
            file.write(bytes(size))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("name", ["cifar-10-batches-bin/test_batch.bin", "another"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, kind, name):
    monkeypatch.setattr("faithkd.data.cifar.LARGEST_ARCHIVE", 20 * 2**20)
    monkeypatch.setattr("faithkd.data.cifar.LARGEST_BATCH", 10 * 2**20)
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, 300 * 2**20
    bomb(tmp_path / "cifar-10-binary.tar.gz", member, 300)
    load = lambda: refused(lambda: data.load("cifar10", "test", tmp_path, download=False))  # noqa: E731
    assert peak(load) < 60 * 2**20
    assert "cifar-10-binary.tar.gz" in load()


def test_an_archive_of_too_many_files_is_refused(tmp_path):
    bomb(tmp_path / "cifar-10-binary.tar.gz", tarfile.TarInfo("more"), 1, before=2000)
    assert "more files" in refused(lambda: data.load("cifar10", "test", tmp_path, download=False))


def test_a_batch_that_is_too_long_or_no_file(tmp_path):
    put(tmp_path, "cifar10", "binary", "inner")
    path = tmp_path / "cifar-10-batches-bin" / "test_batch.bin"
    with path.open("r+b") as file:
        file.truncate(2**40)
    assert "at most 200,000,000 bytes" in refused(lambda: data.load("cifar10", "test", tmp_path, download=False))
    path.unlink()
    os.mkfifo(path)
    assert data.where("cifar10", "test", tmp_path) is None


@pytest.mark.parametrize("number", [b"r\xff\xff\xff\x7f", b"p4000000000\n", b"p-3\n"])
def test_a_pickle_that_numbers_an_object_out_of_reach(tmp_path, number):
    content = b"\x80\x02}" + number + b"."
    assert "numbers an object" in refused(lambda: read_python(content, tmp_path, b"labels"))


class Harm:
    """What a hostile pickle does when it is read as pickles are: it makes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


DATA = np.zeros((2, 3072), dtype=np.uint8)


def array_of(*state: bytes) -> bytes:
    """A pickle of {data: numpy's array function, told to take a state}."""
    return b"\x80\x02}C\x04datacnumpy\ndtype\n" + b"".join(state) + b"s."


def test_pickles_run_nothing(tmp_path):
    mark, path = tmp_path / "harmed", tmp_path / "batch"
    good = {b"data": DATA, b"labels": [1, 2]}
    for content, says in (
        (pickle.dumps(Harm(mark)), "it names "),
        (pickle.dumps({**good, b"more": Harm(mark)}, protocol=3), "it names "),
        (b"cbuiltins\neval\n(C\x041+1)tR.", "names builtins.eval"),
        (b"cos\nsystem\n.", "names os.system"),
        (b"cnumpy\nload\n.", "names numpy.load"),
        (b"\x80\x02C\x01xQ.", "persistent"),
        (array_of(b"}C\x05state", b"I1\nsb"), "no state"),
        (array_of(b"(N}C\x08__call__", b"I1\nstb"), "no state"),
        (b"", "not a batch"),
        (b"\x80\x02}", "not a batch"),
    ):
        assert says in refused(lambda content=content: read_python(content, path, b"labels"))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ([1, 2], "array data"),
        ({b"labels": [1, 2]}, "array data"),
        ({b"data": b"bytes", b"labels": [1, 2]}, "array data"),
        ({b"data": DATA.astype(np.float32), b"labels": [1, 2]}, "array data"),
        ({b"data": np.asfortranarray(np.ones((3, 3072), dtype=np.uint8)), b"labels": [1, 2, 3]}, "array data"),
        ({b"data": DATA[:, :-1].copy(), b"labels": [1, 2]}, "array data"),
        ({b"data": DATA.reshape(-1), b"labels": [1, 2]}, "array data"),
        ({b"data": np.array([None] * 3072, dtype=object), b"labels": [1]}, "array data"),
        ({b"data": np.dtype("u1"), b"labels": [1]}, "array data"),
        ({b"data": DATA}, "list labels"),
        ({b"data": DATA, b"labels": [1]}, "list labels"),
        ({b"data": DATA, b"labels": [1, -2]}, "list labels"),
        ({b"data": DATA, b"labels": [1, 10**30]}, "list labels"),
        ({b"data": DATA, b"labels": [1, True]}, "list labels"),
        ({b"data": DATA, b"labels": [1, b"2"]}, "list labels"),
    ],
)
def test_pickles_of_other_things_are_refused(tmp_path, batch, says):
    assert says in refused(lambda: read_python(pickle.dumps(batch, protocol=3), tmp_path / "batch", b"labels"))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_pickles_are_read_or_refused(tmp_path, draw):
    images, labels = images_and_labels(3, 10, 0)
    content = bytearray(python_2_pickle(images, labels, b"labels"))
    structure = [k for k in range(len(content)) if not 320 < k < len(content) - 20]
    for _ in range(draw.draw(st.integers(1, 4))):
        content[draw.draw(st.sampled_from(structure))] = draw.draw(st.integers(0, 255))
    try:
        pixels, numbers = read_python(bytes(content), tmp_path / "batch", b"labels")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape == (len(numbers), 3072)


# Tiny-ImageNet


CLASSES = ["n03000003", "n01000001", "n02000002"]  # Not in order, as in the published list.
SHADES = {"n01000001": (250, 10, 10), "n02000002": (10, 250, 10), "n03000003": (60, 60, 60)}


def jpeg(name: str, size: tuple[int, int] = (64, 64)) -> bytes:
    """A JPEG file of one colour; the last class's are grey images."""
    shade = SHADES[name]
    image = Image.new("L", size, shade[0]) if name == CLASSES[0] else Image.new("RGB", size, shade)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=100)
    return out.getvalue()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A Tiny-ImageNet of 3 classes with 2 training images each and 3 test images, unpacked; returns its folder."""
    shrink(monkeypatch, "tiny-imagenet", 6, 3, classes=3, mirrors=())
    folder = tmp_path / "tiny-imagenet-200"
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(CLASSES) + "\n")
    for name in CLASSES:
        (folder / "train" / name / "images").mkdir(parents=True)
        for k in range(2):
            (folder / "train" / name / "images" / f"{name}_{k}.JPEG").write_bytes(jpeg(name))
    lines = []
    for k, name in enumerate(CLASSES):
        (folder / "val" / "images" / f"val_{k}.JPEG").write_bytes(jpeg(name))
        lines.append(f"val_{k}.JPEG\t{name}\t0\t0\t62\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


def zipped(folder: Path) -> Path:
    """The folder as its published archive, in place of it."""
    path = folder.parent / "archive" / "tiny-imagenet-200.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_tiny_imagenet_is_read_from_its_folder_and_its_archive(tiny, packed):
    place = zipped(tiny).parent if packed else tiny.parent
    train, test = (data.load("tiny-imagenet", split, place, download=False) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2] and test.labels.tolist() == [2, 0, 1]
    assert train.image_shape == (3, 64, 64)
    for dataset in (train, test):
        for image, label in zip(*dataset, strict=True):
            shade = torch.tensor(SHADES[sorted(CLASSES)[label]]) / 255
            assert (image - shade[:, None, None]).abs().max() < 3 / 255


def test_wrong_tiny_imagenet_files_are_refused(tiny, monkeypatch):
    def message():
        return refused(lambda: data.load("tiny-imagenet", "test", tiny.parent))

    image = tiny / "val" / "images" / "val_1.JPEG"
    whole = image.read_bytes()
    for content in (b"", b"text", whole[:200], b"\x89PNG\r\n\x1a\n" + bytes(50)):
        image.write_bytes(content)
        assert "val_1.JPEG" in message()
    image.write_bytes(jpeg(CLASSES[1], (32, 64)))
    assert "32 x 64, not 64 x 64" in message()
    image.unlink()
    assert "lacks a file" in message()
    annotations = tiny / "val" / "val_annotations.txt"
    lines = annotations.read_text()
    annotations.write_text(lines.replace("n01000001", "n09000009"))
    assert "names classes" in message()
    annotations.write_text(lines.replace("val_1", "../val_1"))
    assert "names classes" in message()
    annotations.write_text(lines + lines)
    assert "holds 6 items" in message()
    annotations.write_text(lines)
    image.write_bytes(whole)
    path = zipped(tiny)
    content = path.read_bytes()
    for wrong in (content[:-30], content[: len(content) // 2], b"text"):
        path.write_bytes(wrong)
        assert str(path) in refused(lambda: data.load("tiny-imagenet", "test", path.parent))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "faithkd[images]" in message()


# Download and the commands


def test_one_archive_is_fetched_once_and_read_as_it_is(tmp_path, monkeypatch):
    source = tmp_path / "source"
    put(source, "cifar100", "binary", "tar.gz")
    archive = source / "cifar-100-binary.tar.gz"
    content = archive.read_bytes()
    file = PublishedFile(archive.name, len(content), hashlib.sha256(content).hexdigest())
    shrunk = replace(PUBLISHED["cifar100"], files={"train": (file,), "test": (file,)}, mirrors=(source.as_uri() + "/",))
    monkeypatch.setitem(PUBLISHED, "cifar100", shrunk)
    result = run("data", "fetch", "cifar100", "--data-dir", tmp_path / "to")
    assert result.exit_code == 0 and str(tmp_path / "to" / "cifar100") in result.output
    archive.unlink()
    for split in SIZES:
        assert len(data.load("cifar100", split, tmp_path / "to")) == SIZES[split]
    result = run("data", "where", "cifar100", "--data-dir", tmp_path / "to")
    assert result.output == f"{tmp_path / 'to' / 'cifar100'}\n"
    listed = run("data", "list", "--data-dir", tmp_path / "to").output
    lines = {line.split()[0]: line for line in listed.splitlines() if line}
    assert {"cifar10", "cifar100", "tiny-imagenet"} <= set(lines)
    assert "not here" in lines["cifar10"] and "not here" not in lines["cifar100"]


def test_a_failed_fetch_leaves_no_folder(tmp_path):
    (tmp_path / "nothing").mkdir()
    mirror = (tmp_path / "nothing").as_uri() + "/"
    message = refused(lambda: data.fetch("cifar10", tmp_path / "to" / "here", mirrors=(mirror,)))
    assert "cifar-10-binary.tar.gz" in message and not (tmp_path / "to").exists()
    (tmp_path / "kept").mkdir()
    refused(lambda: data.fetch("cifar10", tmp_path / "kept", mirrors=(mirror,)))
    assert list((tmp_path / "kept").iterdir()) == []


# Crops and flips


@given(st.integers(0, 3), st.booleans(), st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_augmented_images_are_crops_of_the_padded_image_or_its_mirror(padding, flip, seed):
    images = torch.rand(6, 2, 5, 4, generator=torch.Generator().manual_seed(seed))
    augmented = data.augment(images, torch.Generator().manual_seed(seed), padding, flip)
    for image, found in zip(images.numpy(), augmented.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        shifts = itertools.product(range(2 * padding + 1), repeat=2)
        crops = [padded[:, top : top + 5, left : left + 4] for top, left in shifts]
        crops += [crop[:, :, ::-1] for crop in crops] if flip else []
        assert any(np.array_equal(found, crop) for crop in crops)


def test_every_shift_and_both_sides_come_equally_often_and_repeat_with_the_seed():
    image = torch.zeros(1, 1, 7, 7)
    image[0, 0, 3, 3], image[0, 0, 3, 2] = 1.0, 0.5
    images = image.expand(9000, 1, 7, 7)
    augmented = data.augment(images, torch.Generator().manual_seed(1), padding=1)
    place = augmented.flatten(1).argmax(dim=1).bincount(minlength=49).reshape(7, 7)
    assert place[2:5, 2:5].min() > 900 and place.sum() == place[2:5, 2:5].sum()
    assert 0.48 < (augmented[..., 1:] - augmented[..., :-1]).flatten(1).eq(-0.5).any(dim=1).float().mean() < 0.52
    assert torch.equal(augmented, data.augment(images, torch.Generator().manual_seed(1), padding=1))
    assert not torch.equal(augmented, data.augment(images, torch.Generator().manual_seed(2), padding=1))
