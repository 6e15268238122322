"""`--architecture`, `--mean` and `--std` mean the same in every command that reads a network."""

import json

import numpy as np
import pytest
import torch

import faithkd
from faithkd.models import named
from tests.faithkd.running import certificates, certify, run

MNIST = ("--mean", "0.1307", "--std", "0.3081")
QUICK = ("--images", 3, "--eps", 0.01, "--method", "interval")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Bare weights of the embedded teacher and student, and of a network for any data."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("mnist-teacher", "mnist-fd"):
        tensors = faithkd.load(name).state_dict()
        torch.save({key: value for key, value in tensors.items() if key[:2] != "0."}, folder / f"{name}.pt")
    resnet = named("resnet-18", "cifar10")
    torch.save({key[2:]: value for key, value in resnet.state_dict().items() if key[:2] != "0."}, folder / "resnet.pt")
    return folder


@pytest.mark.slow
def test_certify_reads_bare_weights_as_the_networks_they_are_of(files, tmp_path):
    bare = [files / "mnist-teacher.pt", files / "mnist-fd.pt"]
    both = ["--architecture", "mnist-teacher", "--architecture", "mnist-student"]
    assert certify(*bare, *both, *MNIST, *QUICK, "--out", tmp_path / "bare").exit_code == 0
    assert certify("mnist-teacher", "mnist-fd", *QUICK, "--out", tmp_path / "named").exit_code == 0
    one, other = (certificates(tmp_path / name) for name in ("bare", "named"))
    assert [(line["emplb"], line["faithub"]) for line in one] == [(line["emplb"], line["faithub"]) for line in other]
    assert certify("--resume", "--out", tmp_path / "bare", *both, *MNIST).exit_code == 0
    changed = certify("--resume", "--out", tmp_path / "bare", "--mean", 0.5)
    assert changed.exit_code == 1 and "--mean" in changed.output


def test_one_network_may_say_itself_what_it_is(files, tmp_path):
    pair = ["mnist-teacher", files / "mnist-fd.pt"]
    names = ["--architecture", "none", "--architecture", "mnist-student"]
    for said in ([*names, *MNIST], [*names, "--mean", 9, "--mean", 0.1307, "--std", 0.3081]):
        result = certify(*pair, *said, *QUICK, "--out", tmp_path / str(len(said)))
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("command", "more"),
    [("certify", [*QUICK, "--no-report"]), ("evaluate", ["--data", "mnist-sample", "--images", 20]), ("info", [])],
)
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "--architecture"),
        (["--architecture", "mnist-student"], "--mean 0.1307 --std 0.3081 are those of mnist"),
        (["--architecture", "mnist-student", "--mean", "0"], "give both"),
        (["--mean", "0", "--std", "1"], "--architecture"),
        (["--architecture", "mnist-student", "--mean", "much", "--std", "1"], "'much' is not a number"),
        (["--architecture", "mnist-student", "--mean", "nan", "--std", "1"], "finite"),
        (["--architecture", "mnist-student", "--mean", "0,1", "--std", "1"], "one a channel"),
        (["--architecture", "mnist-student", "--mean", "0", "--std", "0"], "positive"),
        (["--architecture", "mnist-tutor", *MNIST], "mnist-tutor"),
        (["--architecture", "mnist-student", *MNIST, "--architecture", "none", "--architecture", "none"], "3 times"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence(files, tmp_path, monkeypatch, command, more, said, words):
    monkeypatch.chdir(tmp_path)
    models = [files / "mnist-fd.pt"] * (2 if command == "certify" else 1)
    result = run(command, *models, *more, *said)
    assert result.exit_code in (1, 2) and words in result.output and "unexpected" not in result.output, result.output


def test_info_and_evaluate_of_bare_weights(files, tmp_path):
    said = ["--architecture", "mnist-student", *MNIST]
    card = json.loads(run("info", files / "mnist-fd.pt", *said, "--json").stdout)
    assert card["architecture"]["arguments"]["hidden"] == [20] * 4 and card["normalisation"] == {
        "mean": 0.1307,
        "std": 0.3081,
    }
    more = ["--data", "mnist-sample", "--images", 50, "--json"]
    bare = json.loads(run("evaluate", files / "mnist-fd.pt", *said, *more).stdout)
    known = json.loads(run("evaluate", "mnist-fd", *more).stdout)
    assert bare[0]["clean"] == known[0]["clean"] > 0.9


def test_a_network_for_any_data_takes_its_shape_from_the_data(files, tmp_path):
    np.savez(tmp_path / "own.npz", images=np.random.default_rng(0).random((4, 3, 32, 32)), labels=[0, 9, 3, 4])
    for name in ("cifar10", tmp_path / "own.npz"):
        result = run(
            "info",
            files / "resnet.pt",
            "--architecture",
            "resnet-18",
            "--mean",
            "0.5,0.5,0.5",
            "--std",
            1,
            "--data",
            name,
        )
        assert result.exit_code == 0 and "3 x 32 x 32" in result.stdout and "0.5 0.5 0.5" in result.stdout, (
            result.output
        )
    assert "--data" in run("info", files / "resnet.pt", "--architecture", "resnet-18", "--mean", 0, "--std", 1).output
    result = run(
        "evaluate",
        files / "resnet.pt",
        "--architecture",
        "resnet-18",
        "--mean",
        0,
        "--std",
        1,
        "--data",
        tmp_path / "own.npz",
    )
    assert result.exit_code == 0, result.output


def test_evaluate_and_train_take_a_valid_range(tmp_path):
    sample = faithkd.data.load("mnist-sample", "train").sample(100, 0)
    np.savez(tmp_path / "own.npz", images=sample.images.numpy() * 2 - 1, labels=sample.labels.numpy())
    given = ["--data", tmp_path / "own.npz"]
    assert "images / 2 + 0.5" in run("evaluate", "mnist-fd", *given).output
    assert run("evaluate", "mnist-fd", *given, "--valid-range", -1, 1).exit_code == 0
    recipe = ["mnist-st", *given, "--epochs", 1, "--out", tmp_path / "a.safetensors"]
    assert "images / 2 + 0.5" in run("train", *recipe).output
    assert "images / 2 + 0.5" not in run("train", *recipe, "--valid-range", -1, 1).output
