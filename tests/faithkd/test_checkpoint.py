"""Checkpoints: what is saved comes back, and every hostile or foreign file ends in one sentence."""

import json
import pickle
import resource
import subprocess
import sys
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import faithkd
from faithkd import UserError
from faithkd.card import Card
from faithkd.checkpoint import card_for, check_data, compatible, load, read_card, save, sha256
from faithkd.models import mlp, named


def network():
    """A small network for 3 x 3 images and 4 classes."""
    return mlp([5, 6], 0.25, 0.5, classes=4, input_shape=(1, 3, 3), generator=torch.Generator().manual_seed(7))


def filled_card(model) -> Card:
    return card_for(
        model,
        dataset="mnist",
        recipe={"epochs": 3, "attack": {"eps": 0.2}},
        method="fd",
        teacher="ab" * 32,
        seed=11,
        metrics={"accuracy": 0.979},
    )


@pytest.fixture
def saved(tmp_path) -> Path:
    model = network()
    save(tmp_path / "model.safetensors", model, filled_card(model))
    return tmp_path / "model.safetensors"


def refused(path, architecture=None) -> str:
    """The message that a file is refused with: one line, one sentence, naming the file."""
    with pytest.raises(UserError) as caught:
        load(path, architecture)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 and str(path) in message
    return message


def rewritten(path: Path, change) -> Path:
    """Write the file again with its tensors and the JSON object of its card changed by `change(tensors, content)`."""
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        content = json.loads(file.metadata()["faithkd"])
    text = change(tensors, content)
    metadata = {"faithkd": text if isinstance(text, str) else json.dumps(content)}
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    return path


# What is saved comes back


def test_a_network_and_its_card_come_back(saved):
    model, images = network(), torch.rand(8, 1, 3, 3)
    read = load(saved)
    assert torch.equal(read(images), model(images)) and not read.training
    assert read.card == filled_card(model) == read_card(saved)
    assert read.card.versions["torch"] == torch.__version__
    assert all(parameter.requires_grad for parameter in read.parameters())
    assert faithkd.load(str(saved)).card == read.card


def test_equal_networks_give_equal_files_and_nothing_else_lies_about(saved, tmp_path):
    save(tmp_path / "again" / "model.safetensors", load(saved), load(saved).card)
    assert sha256(saved) == sha256(tmp_path / "again" / "model.safetensors")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["model.safetensors"]


def test_a_loaded_network_does_not_depend_on_its_file(saved):
    model, images = load(saved), torch.rand(2, 1, 3, 3)
    before = model(images)
    saved.write_bytes(bytes(saved.stat().st_size))
    assert torch.equal(model(images), before)


def test_a_card_is_read_without_torch(saved):
    code = f"import sys; from faithkd.card import read_card; print(read_card({str(saved)!r}).method, 'torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "fd False\n"
    )


def test_a_header_of_any_length_is_told_from_a_pickle(tmp_path):
    model = network()
    lengths = set()
    for n in range(0, 700, 8):
        save(tmp_path / "any", model, replace(filled_card(model), recipe="x" * n))
        lengths.add((tmp_path / "any").read_bytes()[:2])
        assert load(tmp_path / "any").card.recipe == "x" * n
    assert any(start[:1] == b"\x80" and start[1] in (2, 3, 4, 5) for start in lengths)  # as a pickle begins


def test_saving_where_it_cannot_be_says_so_and_keeps_the_old_file(saved):
    before = saved.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(UserError, match="cannot write"):
            save(saved, network(), filled_card(network()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert saved.read_bytes() == before and len(list(saved.parent.iterdir())) == 1
    with pytest.raises(UserError, match="cannot write"):
        save(saved / "below-a-file", network(), filled_card(network()))


# Plain state dicts


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_plain_state_dicts_of_named_architectures(tmp_path, form):
    model, path = named("mnist-student"), tmp_path / "state"
    if form == "safetensors":
        safetensors.torch.save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    images = torch.rand(3, 1, 28, 28)
    read = load(path, "mnist-student")
    assert torch.equal(read(images), model(images)) and read.card.dataset == "mnist"
    assert "--architecture" in refused(path)


def test_other_names_are_understood_only_in_an_order_that_is_sure(tmp_path):
    model, path = named("mnist-student"), tmp_path / "state"
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]

    def write(names, kinds=("weight", "bias")):
        torch.save(
            OrderedDict((f"{n}.{k}", getattr(x, k)) for n, x in zip(names, layers, strict=True) for k in kinds), path
        )

    images = torch.rand(3, 1, 28, 28)
    for names in (
        ["1", "3", "5", "7", "9"],
        [f"body.{i}" for i in (8, 9, 10, 11, 12)],
        ["fc1", "fc2", "fc3", "fc4", "out"],
    ):
        write(names)
        assert torch.equal(load(path, "mnist-student", mean=0.1307, std=0.3081)(images), model(images))
        write(names, ("bias", "weight"))
        assert torch.equal(load(path, "mnist-student", mean=0.1307, std=0.3081)(images), model(images))
    write(["first", "second", "third", "fourth", "fifth"])
    assert "does not hold the tensors" in refused(path, "mnist-student")


def test_a_state_dict_of_another_normalisation_is_refused(tmp_path):
    torch.save(mlp([20] * 4, 0.5, 0.5).state_dict(), tmp_path / "state")
    assert "mean and std" in refused(tmp_path / "state", "mnist-student")


def test_wrong_architectures_are_refused(saved, tmp_path):
    torch.save(named("mnist-student").state_dict(), tmp_path / "state")
    assert "lacks" in refused(tmp_path / "state", "mnist-teacher")
    assert "lacks" in refused(tmp_path / "state", "fashion-mnist-student")
    torch.save(mlp([20, 20, 21, 20], 0.1307, 0.3081).state_dict(), tmp_path / "wide")
    assert "has shape (21, 20)" in refused(tmp_path / "wide", "mnist-student")
    with pytest.raises(UserError, match="unknown architecture"):
        load(tmp_path / "state", "mnist-tutor")
    assert "leave --architecture out" in refused(saved, "mnist-student")


# Hostile and foreign files


class Attack:
    """What a hostile pickle does when it is read: it makes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def hostile_files(folder: Path):
    """Every kind of file, with a word of the message."""
    model, mark = network(), folder / "harmed"

    def torch_saved(what, legacy=False):
        return lambda path: torch.save(what, path, _use_new_zipfile_serialization=not legacy)

    def pickled(what, protocol):
        return lambda path: path.write_bytes(pickle.dumps(what, protocol))

    def zipped(path):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("data.pkl", pickle.dumps(Attack(mark)))

    yield "module", torch_saved(model), "torch.save"
    yield "module-legacy", torch_saved(model, legacy=True), "torch.save"
    yield "attack", torch_saved({"weight": Attack(mark)}), "torch.save"
    yield "attack-legacy", torch_saved(Attack(mark), legacy=True), "torch.save"
    for protocol in range(2, 6):
        yield f"pickle-{protocol}", pickled(Attack(mark), protocol), "pickle"
    yield "pickle-0", pickled(Attack(mark), 0), "a text file, not a checkpoint"
    yield "zip", zipped, "a zip archive"
    yield "nested", torch_saved({"state_dict": model.state_dict()}), "torch.save"
    yield "list", torch_saved([1, 2]), "torch.save"
    yield "empty", lambda path: path.write_bytes(b""), "an empty file"
    yield "byte", lambda path: path.write_bytes(b"\x80"), ""
    yield "text", lambda path: path.write_text("hello, this is no network"), "a text file"
    yield "npz", lambda path: np.savez(path.open("wb"), a=1), "--data"
    yield "no-header", lambda path: path.write_bytes((2).to_bytes(8, "little") + b"{}"), "without faithkd metadata"
    yield "list-header", lambda path: path.write_bytes((2).to_bytes(8, "little") + b"[]"), "unknown kind"
    yield "huge-header", lambda path: path.write_bytes((2**62).to_bytes(8, "little") + b"{}"), "truncated"
    yield "deep", lambda path: path.write_bytes((90000).to_bytes(8, "little") + b"[" * 90000), "unknown kind"
    yield (
        "deep-object",
        lambda path: path.write_bytes((90000).to_bytes(8, "little") + b'{"a":' * 18000),
        "not a safetensors",
    )
    yield "folder", lambda path: path.mkdir(), "folder"
    yield "missing", lambda path: None, "there is no file"


NAMES = [name for name, _, _ in hostile_files(Path("/"))]


@pytest.mark.parametrize("architecture", [None, "mnist-student"])
@pytest.mark.parametrize("name", NAMES)
def test_hostile_and_foreign_files_are_refused_and_run_nothing(tmp_path, name, architecture):
    write, says = next((write, says) for other, write, says in hostile_files(tmp_path) if other == name)
    path = tmp_path / name
    write(path)
    message = refused(path, architecture)
    assert architecture is not None or says in message
    assert not (tmp_path / "harmed").exists()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_never_give_a_network_with_bad_weights(saved, draw):
    content = bytearray(saved.read_bytes())
    path = saved.with_name("damaged")
    if draw.draw(st.booleans()):
        content = content[: draw.draw(st.integers(0, len(content) - 1))]
        path.write_bytes(content)
        refused(path)
        return
    for _ in range(draw.draw(st.integers(1, 4))):
        content[draw.draw(st.integers(0, len(content) - 1))] = draw.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        model = load(path)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def _put(key, value):
    return lambda tensors, content: content.__setitem__(key, value)


def _tensor(name, make):
    return lambda tensors, content: tensors.__setitem__(name, make(tensors.get(name)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors, content: "{not JSON", "not JSON"),
        (lambda tensors, content: "[1]", "must be a JSON object"),
        (lambda tensors, content: "[" * 90000, "not JSON"),
        (_put("format", 2), "checkpoint format 2"),
        (_put("format", None), "checkpoint format None"),
        (
            _put("architecture", {"name": "transformer", "arguments": {"input_shape": [1, 3, 3]}}),
            "unknown architecture",
        ),
        (_put("architecture", "mlp"), "'architecture'"),
        (_put("architecture", {"name": "mlp"}), "name and arguments"),
        (_put("architecture", {"name": "mlp", "arguments": {"hidden": [5, 6]}}), "input_shape"),
        (
            _put("architecture", {"name": "mlp", "arguments": {"hidden": ["a"], "input_shape": [1, 3, 3]}}),
            "cannot be built",
        ),
        (
            _put("architecture", {"name": "mlp", "arguments": {"hidden": [10**30], "input_shape": [9]}}),
            "cannot be built",
        ),
        (
            _put("architecture", {"name": "mlp", "arguments": {"hidden": [10**9, 10**9], "input_shape": [9]}}),
            "larger than the tensors",
        ),
        (_put("architecture", {"name": "mlp", "arguments": {"hidden": [5], "input_shape": [1, 3, 3]}}), "has besides"),
        (_put("architecture", {"name": "mlp", "arguments": {"hidden": [5, 6, 7], "input_shape": [1, 3, 3]}}), "lacks"),
        (_put("classes", 10), "needs (10, 6)"),
        (_put("classes", 1), "at least two classes"),
        (_put("classes", "ten"), "'classes'"),
        (_put("classes", True), "'classes'"),
        (_put("normalisation", {"mean": 0.25}), "positive std"),
        (_put("normalisation", {"mean": 0.25, "std": 0}), "positive std"),
        (_put("normalisation", {"mean": float("nan"), "std": 1}), "NaN, which is no number"),
        (_put("normalisation", {"mean": 0.3, "std": 0.5}), "mean and std"),
        (_put("seed", "one"), "'seed'"),
        (_put("metrics", []), "'metrics'"),
        (_tensor("2.weight", lambda old: old * float("nan")), "NaN"),
        (_tensor("4.bias", lambda old: old / 0), "NaN or infinite"),
        (_tensor("0.scale", lambda old: old * 2), "mean and std"),
        (_tensor("2.weight", lambda old: old[:, :8].contiguous()), "has shape (5, 8)"),
        (_tensor("2.weight", lambda old: old.double() + 1e-12), "not float32"),
        (_tensor("2.weight", lambda old: old.int()), "floating-point"),
        (_tensor("8.weight", lambda old: torch.zeros(3)), "'8.weight'"),
    ],
)
def test_wrong_cards_and_tensors_are_refused(saved, change, says):
    with np.errstate(all="ignore"):
        assert says in str(_message(rewritten(saved, change)))


def _message(path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


# Two networks, and a network and data


def test_only_networks_for_the_same_data_make_a_pair(saved):
    card = read_card(saved)
    compatible(card, card)
    compatible(card, replace(card, dataset=None))
    compatible(card, replace(card, dataset="mnist-sample"))
    other_shape = card_for(mlp([5], 0.25, 0.5, classes=4, input_shape=(3, 3)), dataset="mnist")
    for other, says in (
        (replace(card, dataset="fashion-mnist"), "data set"),
        (replace(card, classes=10), "number of classes"),
        (other_shape, "input shape"),
    ):
        with pytest.raises(UserError, match=says):
            compatible(card, other)


def test_only_data_that_fit_a_network_are_accepted(tmp_path):
    digits, clothes = (faithkd.data.load(f"{name}-sample") for name in ("mnist", "fashion-mnist"))
    card = card_for(named("mnist-teacher"), dataset="mnist")
    check_data(card, digits)
    with pytest.raises(UserError, match="trained on mnist"):
        check_data(card, clothes)
    with pytest.raises(UserError, match="shape"):
        check_data(card, replace(digits, images=digits.images[:, :, 2:]))
    for shape, advice in (
        ((28, 28, 1), "numpy.moveaxis(images, -1, 1)"),
        ((784,), "images.reshape(-1, 1, 28, 28)"),
        ((28, 28), "images.reshape(-1, 1, 28, 28)"),
        ((3, 28, 28), "choose other data"),
    ):
        with pytest.raises(UserError) as caught:
            check_data(card, replace(digits, images=torch.zeros(2, *shape)))
        assert advice in str(caught.value)
    np.savez(tmp_path / "own.npz", images=digits.images[:3, 0].numpy(), labels=[0, 1, 11])
    with pytest.raises(UserError, match="10 classes"):
        check_data(card, faithkd.data.load(tmp_path / "own.npz"))
