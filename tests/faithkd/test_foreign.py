"""State dicts and files of other programs: read under their own names and with a normalisation that was given, or called what they are."""

import json
import os
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import faithkd
from faithkd import UserError
from faithkd.data.catalogue import CIFAR10
from faithkd.models import named
from tests.faithkd.running import run

RAW = {"mean": 0.0, "std": 1.0}
GREY = {"mean": 0.1307, "std": 0.3081}
COLOURED = {"mean": CIFAR10.mean, "std": CIFAR10.std}


@pytest.fixture(scope="module")
def resnet():
    """A ResNet-18 whose running statistics are not those of a new one."""
    model = named("resnet-18", "cifar10", generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(generator=torch.Generator().manual_seed(len(name)))
    return model.eval()


def bare(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors without faithkd's normalisation and place."""
    return {name[2:]: tensor for name, tensor in model.state_dict().items() if not name.startswith("0.")}


def refused(path: Path, architecture: str | None, **how) -> str:
    with pytest.raises(UserError) as caught:
        faithkd.load(path, architecture, **how)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700, message
    return message


# Names

PREFIXES = [
    "", "1.", "module.", "_orig_mod.", "model.", "net.", "student.", "backbone.", "module._orig_mod.", "_orig_mod.module.",
    "state.model.module.net.", "anything_at_all.",
]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("counters", [True, False])
def test_a_prefix_that_all_names_have_and_missing_counters(resnet, tmp_path, prefix, counters):
    tensors = {f"{prefix}{name}": tensor for name, tensor in bare(resnet).items() if counters or "num_b" not in name}
    torch.save(tensors, tmp_path / "c.pt")
    read = faithkd.load(tmp_path / "c.pt", "resnet-18", "cifar10", **COLOURED)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(read(images), resnet(images))
    assert not counters or all(torch.equal(one, read.state_dict()[name]) for name, one in resnet.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.net."])
def test_a_network_of_faithkd_that_was_wrapped_brings_its_normalisation(resnet, tmp_path, prefix):
    torch.save({f"{prefix}{name}": tensor for name, tensor in resnet.state_dict().items()}, tmp_path / "c.pt")
    read = faithkd.load(tmp_path / "c.pt", "resnet-18", "cifar10")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(read(images), resnet(images)) and read.card.normalisation["mean"] == list(CIFAR10.mean)
    assert "mean and std" in refused(tmp_path / "c.pt", "resnet-18", dataset="cifar10", **RAW)


@pytest.mark.parametrize("prefix", ["module.", "encoder.body."])
def test_layers_in_a_row_with_a_prefix(tmp_path, prefix):
    model = named("mnist-student")
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    tensors = {f"{prefix}fc{k}.{n}": t for k, layer in enumerate(layers) for n, t in layer.named_parameters()}
    torch.save(tensors, tmp_path / "c.pt")
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(faithkd.load(tmp_path / "c.pt", "mnist-student", **GREY)(images), model(images))


@pytest.mark.parametrize("prefix", ["module.", "model.net."])
def test_where_names_are_refused_the_prefix_is_named(resnet, tmp_path, prefix):
    tensors = {f"{prefix}{name}".replace("bn1", "norm1"): tensor for name, tensor in bare(resnet).items()}
    torch.save(tensors, tmp_path / "c.pt")
    message = refused(tmp_path / "c.pt", "resnet-18", dataset="cifar10", **COLOURED)
    assert f"without the prefix '{prefix}'" in message and "bn1" in message and "norm1" in message


def test_several_prefixes_are_refused(resnet, tmp_path):
    tensors = {("a." if "conv" in name else "b.") + name: tensor for name, tensor in bare(resnet).items()}
    torch.save(tensors, tmp_path / "c.pt")
    message = refused(tmp_path / "c.pt", "resnet-18", dataset="cifar10", **COLOURED)
    assert "without the prefix" not in message and "'a.conv1.weight'" in message


def test_counters_alone_may_be_missing(resnet, tmp_path):
    tensors = {name: tensor for name, tensor in bare(resnet).items() if name != "bn1.running_var"}
    torch.save(tensors, tmp_path / "c.pt")
    assert "bn1.running_var" in refused(tmp_path / "c.pt", "resnet-18", dataset="cifar10", **COLOURED)


# Dictionaries around a state dict


def nests(state: dict):
    yield "state_dict", {"state_dict": state}
    yield (
        "model",
        {"model": state, "epoch": 30, "accuracy": 0.93, "name": "resnet", "optimizer": {"lr": 0.1, "state": {}}},
    )
    yield "twice", {"checkpoint": {"net": state, "epoch": 3}, "step": 5}
    yield "ordered", OrderedDict(weights=OrderedDict(state), best=torch.tensor(0.9).item())
    yield (
        "optimiser",
        {"state_dict": state, "optimizer": {"state": {0: {"momentum": torch.ones(3)}}, "param_groups": [{"lr": 1}]}},
    )


@pytest.mark.parametrize("place", range(5))
def test_a_state_dict_among_plain_values_is_found(tmp_path, place):
    model = named("mnist-student")
    _, content = list(nests(dict(model.state_dict())))[place]
    torch.save(content, tmp_path / "c.pt")
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(faithkd.load(tmp_path / "c.pt", "mnist-student")(images), model(images))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda state: {"model": state, "ema": state, "epoch": 3}, "several state dicts, model, ema"),
        (lambda state: {"a": {"b": {"c": {"d": state}}}}, "keys are"),
        (lambda state: {"epoch": 3, "accuracy": 0.9}, "keys are epoch, accuracy"),
        (lambda state: {**state, "epoch": 3}, "keys are 0.scale"),
        (lambda state: [state], "must hold a state dict"),
        (lambda state: {}, "must hold a state dict"),
        (lambda state: {"state_dict": {}}, "keys are state_dict"),
        (lambda state: {7: state["2.weight"]}, "keys are 7"),
        (lambda state: state["2.weight"], "must hold a state dict"),
    ],
)
def test_what_holds_no_state_dict_or_several_says_what_it_holds(tmp_path, content, words):
    torch.save(content(dict(named("mnist-student").state_dict())), tmp_path / "c.pt")
    assert words in refused(tmp_path / "c.pt", "mnist-student", **GREY)


# Normalisation


def raw_pixel_weights() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The embedded student, and the same function as weights of a network that reads raw pixels."""
    student = faithkd.load("mnist-fd")
    weights = {
        f"{int(name[0]) - 1}{name[1:]}" if name[1] == "." else name: t.clone() for name, t in bare_row(student).items()
    }
    first = min(weights)
    weights[first.replace("weight", "bias")] = (
        student[2].bias.double() - student[2].weight.double().sum(dim=1) * 0.1307 / 0.3081
    ).float()
    weights[first.replace("bias", "weight")] = student[2].weight / 0.3081
    return student, {name: tensor.detach() for name, tensor in weights.items()}


def bare_row(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("0.")}


def test_weights_of_raw_pixels_are_the_function_that_they_were_trained_as(tmp_path):
    student, weights = raw_pixel_weights()
    torch.save(weights, tmp_path / "raw.pt")
    images, _ = faithkd.data.load("mnist-sample").sample(200, seed=0)
    message = refused(tmp_path / "raw.pt", "mnist-student")
    assert all(
        words in message for words in ("--mean 0.1307 --std 0.3081", "of mnist", "--mean 0 --std 1", "raw pixels")
    )
    read = faithkd.load(tmp_path / "raw.pt", "mnist-student", **RAW)
    assert (read(images).softmax(1) - student(images).softmax(1)).abs().max() < 1e-4
    wrong = faithkd.load(tmp_path / "raw.pt", "mnist-student", **GREY)
    assert (wrong(images).softmax(1) - student(images).softmax(1)).abs().max() > 0.5


@pytest.mark.parametrize("given", [{"mean": 0.5}, {"std": 0.5}, {}])
def test_both_numbers_are_asked_for(resnet, tmp_path, given):
    torch.save(bare(resnet), tmp_path / "c.pt")
    message = refused(tmp_path / "c.pt", "resnet-18", dataset="cifar10", **given)
    assert "--mean 0.4914,0.4822,0.4465 --std 0.247,0.2435,0.2616 are those of cifar10" in message


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [((0.5, 0.5), 1.0, "one a channel"), (0.5, (1.0,) * 4, "one a channel"), (float("nan"), 1.0, "finite"), (0.5, 0.0, "positive"),
     (0.5, -1.0, "positive"), (float("inf"), 1.0, "finite"), (0.0, 1e-40, "positive")],
)  # fmt: skip
def test_a_normalisation_that_is_none(resnet, tmp_path, mean, std, words):
    torch.save(bare(resnet), tmp_path / "c.pt")
    assert words in refused(tmp_path / "c.pt", "resnet-18", dataset="cifar10", mean=mean, std=std)


def test_one_number_a_channel(resnet, tmp_path):
    torch.save(bare(resnet), tmp_path / "c.pt")
    images = torch.rand(2, 3, 32, 32)
    read = faithkd.load(tmp_path / "c.pt", "resnet-18", "cifar10", mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    moved = (images - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.25, 0.125])[:, None, None]
    assert torch.allclose(read(images), resnet[1](moved), atol=1e-5)
    assert read.card.normalisation == {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 0.125]}


def test_an_architecture_for_any_data_wants_to_know_which(resnet, tmp_path):
    torch.save(bare(resnet), tmp_path / "c.pt")
    assert "--data" in refused(tmp_path / "c.pt", "resnet-18", **RAW)
    np.savez(tmp_path / "own.npz", images=np.zeros((2, 3, 32, 32)), labels=[0, 9])
    own = faithkd.data.load(tmp_path / "own.npz")
    read = faithkd.load(tmp_path / "c.pt", "resnet-18", own, **RAW)
    assert read.card.dataset is None and read.card.classes == 10
    assert "--mean 0 --std 1" in refused(tmp_path / "c.pt", "resnet-18", dataset=own)


# Other kinds of file


def scripted(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(784, 10))), path)


def exported(path: Path) -> None:
    program = torch.export.export(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), (torch.zeros(1, 784),))
    torch.export.save(program, path)


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            file.writestr(name, "{}")


def packed(path: Path) -> None:
    """A state dict as `torch.save` writes it, then compressed: PyTorch would unpack it, whatever it is."""
    torch.save({"1.weight": torch.zeros(10**7)}, path)
    with zipfile.ZipFile(path) as file:
        members = [(entry.filename, file.read(entry)) for entry in file.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)


KINDS = {
    "script.pt": (scripted, "TorchScript"),
    "program.pt2": (exported, "torch.export.save"),
    "model.onnx": (lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(99)), "an ONNX model"),
    "weights.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "HDF5"),
    "model.keras": (keras, "a Keras model"),
    "model.tflite": (lambda path: path.write_bytes(bytes(4) + b"TFL3" + bytes(99)), "TensorFlow Lite"),
    "model.pkl": (lambda path: path.write_bytes(b"\x80\x04]\x94."), "a pickle"),
    "images.npz": (lambda path: np.savez(path, images=np.zeros(3)), "--data"),
    "array.npy": (lambda path: np.save(path, np.zeros(3)), "--data"),
    "empty.pt": (lambda path: path.write_bytes(b""), "an empty file"),
    "pointer.safetensors": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "page.pt": (lambda path: path.write_text("<!DOCTYPE html>\n<html>"), "a web page"),
    "model.gguf": (lambda path: path.write_bytes(b"GGUF" + bytes(99)), "GGUF"),
    "model.pt.gz": (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(99)), "gzip"),
    "config.json": (lambda path: path.write_text('{"model_type": "vit"}'), "a text file"),
    "half.safetensors": (lambda path: path.write_bytes(struct.pack("<Q", 900) + b'{"__metadata__":'), "truncated"),
    "packed.pt": (packed, "torch.save"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("architecture", [None, "mnist-student"])
def test_other_files_are_called_what_they_are(tmp_path, name, architecture):
    make, words = KINDS[name]
    make(tmp_path / name)
    tracemalloc.start()
    message = refused(tmp_path / name, architecture, **RAW)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert words in message and str(tmp_path / name) in message


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "weights-3.safetensors"])
def test_a_folder_names_the_file_that_is_meant(tmp_path, name):
    folder = tmp_path / "a-network-from-a-hub"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for architecture in (None, "mnist-student"):
        assert "is a folder; give a file" in refused(folder, architecture)
    (folder / name).write_bytes(b"")
    for architecture in (None, "mnist-student"):
        assert f"give the file in it, {folder / name}" in refused(folder, architecture)


@pytest.mark.parametrize("architecture", [None, "mnist-student"])
def test_special_files_do_not_keep_one_waiting(tmp_path, architecture):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "nowhere").symlink_to("/nowhere/at/all")
    for name, words in (("pipe", "named pipe"), ("zero", "device"), ("nowhere", "none at")):
        assert words in refused(tmp_path / name, architecture)


# What a card can ask for


def written(path: Path, arguments: dict, name: str = "mlp", metadata: str | None = None) -> Path:
    """A checkpoint of a few numbers whose card describes another network."""
    card = {"format": 1, "architecture": {"name": name, "arguments": {"input_shape": [1, 28, 28], **arguments}},
            "normalisation": {"mean": 0.0, "std": 1.0}, "classes": 10}  # fmt: skip
    text = json.dumps(card) if metadata is None else metadata
    path.write_bytes(safetensors.torch.save({"1.weight": torch.zeros(3)}, {"faithkd": text}))
    return path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("mlp", {"hidden": hidden}) for hidden in (
            [10**9], [10**9] * 50, [1] * 200_000, [0] * 200_000, [10**400], [-1], [2.5], "wide", {}, [[3]], [None], 3,
        )),
        ("mlp", {"hidden": [3], "input_shape": [10**12]}), ("mlp", {"hidden": [3], "input_shape": [10**6] * 9}),
        ("mlp", {"hidden": [3], "dropout": "much"}), ("mlp", {"hidden": [3], "dropout": 1e308}), ("mlp", {"more": 1}), ("mlp", {}),
        ("resnet", {"depth": 10**9}), ("wide-resnet", {"depth": 10**9}), ("wide-resnet", {"depth": 10, "width": 10**9}),
        ("vit", {"dim": 10**9, "heads": 1}), ("vit", {"depth": 10**9}), ("vit", {"input_shape": [3, 10**6, 10**6]}),
        ("mobilenet-v2", {"input_shape": [1]}),
    ],
)  # fmt: skip
def test_a_card_of_a_few_bytes_takes_no_memory_and_no_time(tmp_path, name, arguments):
    path = written(tmp_path / "card.safetensors", arguments, name)
    began = time.monotonic()
    tracemalloc.start()
    message = refused(path, None)
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()
    assert time.monotonic() - began < 15
    assert (
        "larger than the tensors" in message or "cannot be built" in message or "tensors of its architecture" in message
    )


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ('{"format": 1, "format": 1}', "'format' twice"),
        ('{"format": NaN}', "no number"),
        ('{"format": 1e400}', "beyond"),
        ('{"format": 1, "metrics": ' + "[" * 200 + "]" * 200 + "}", "nested"),
        ('{"a":' * 50_000, "nested"),
        ("9" * 5000, "not JSON"),
        ("", "not JSON"),
        ('{"format": 1' + "0" * 400 + "}", "checkpoint format"),
    ],
)
def test_metadata_that_mean_nothing_or_several_things(tmp_path, metadata, words):
    assert words in refused(written(tmp_path / "a.safetensors", {}, metadata=metadata), None)


def test_a_header_that_says_a_name_twice(tmp_path):
    header = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    )
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "not a safetensors file" in refused(tmp_path / "a.safetensors", None)


def test_info_shows_cards_that_are_odd(tmp_path):
    card = {
        "format": 1, "classes": 2, "teacher": [1, None, {"a": "b"}], "dataset": "\x1b[31mred", "versions": {"torch": [1]},
        "architecture": {"name": "[/red]", "arguments": {"input_shape": [2], "x": {"y": [1, None]}}},
        "normalisation": {"mean": 0.0, "std": 1.0}, "recipe": {"name": 3, "source": ["x"], "epochs": {}},
        "metrics": {"a": {"b": {"c": [1, [2]]}}, "d": "x"},
    }  # fmt: skip
    written(tmp_path / "a.safetensors", {}, metadata=json.dumps(card))
    result = run("info", tmp_path / "a.safetensors")
    assert result.exit_code == 0, result.output
    assert "[/red]" in result.stdout and "\x1b" not in result.stdout
    assert run("info", tmp_path / "a.safetensors", "--json").exit_code == 0
