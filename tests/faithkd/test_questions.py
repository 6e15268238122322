"""What looks wrong is said in one line before the work begins, and nothing is said of what looks right."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import faithkd
from faithkd.certification.questions import questions
from tests.faithkd.running import certificates, certify, run

PAIR = ("mnist-teacher", "mnist-fd")
SAMPLE = faithkd.data.load("mnist-sample").sample(20, seed=0)
TEACHER = faithkd.load("mnist-teacher")


def notes(result) -> list[str]:
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if line.startswith("Note: ")]
    return [line for line in said if "compiled loops" not in line]


def certified(folder, images, *more):
    np.savez(folder / "own.npz", images=images, labels=SAMPLE.labels.numpy())
    return certify(
        *PAIR, "--data", folder / "own.npz", "--images", 20, "--method", "interval", "--out", folder / "run", *more
    )


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_nothing_is_said_of_the_embedded_pairs(dataset, tmp_path):
    pair = f"{dataset}-teacher", f"{dataset}-fd"
    assert not notes(certify(*pair, "--images", 30, "--method", "interval", "--out", tmp_path / "run"))


@pytest.mark.parametrize("eps", [0.0, 8 / 255, 0.5, 0.999])
def test_nothing_is_said_of_a_radius_that_leaves_something_of_the_image(eps):
    assert not questions(TEACHER, SAMPLE, {"any": eps}, "it")


@pytest.mark.parametrize(
    ("label", "eps", "words"),
    [
        ("8", 8.0, "was 8/255 meant?"),
        ("1", 1.0, "was 1/255 meant?"),
        ("300", 300.0, "at a radius of 300 every"),
        ("3.3", 3.3 * 0.3081, "at a radius of 3.3 every"),
    ],
)
def test_a_radius_beyond_the_whole_range(label, eps, words):
    (line,) = questions(TEACHER, SAMPLE, {"0.1": 0.1, label: eps}, "it")
    assert words in line and "the whole range of pixels, 0 to 1" in line


def test_the_command_says_it_before_it_begins(tmp_path):
    result = certify(*PAIR, "--images", 1, "--eps", 8, "--method", "interval", "--no-search", "--out", tmp_path / "run")
    (line,) = notes(result)
    assert "was 8/255 meant?" in line
    assert result.stderr.index("Note: ") < result.stderr.index("mnist-fd against")


def test_a_radius_is_measured_against_the_valid_range():
    shades = replace(SAMPLE, images=SAMPLE.images * 255, valid_range=(0.0, 255.0))
    said = questions(TEACHER, shades, {"8": 8.0}, "it")
    assert len(said) == 1 and "the scale that it was trained on" in said[0]
    assert "0 to 255" in questions(TEACHER, shades, {"255": 255.0}, "it")[0]


def test_images_that_were_normalised_already(tmp_path):
    images = ((SAMPLE.images - 0.1307) / 0.3081).numpy()
    said = notes(certified(tmp_path, images, "--eps", 0.05, "--valid-range", -0.4243, 2.8216))
    assert any("standard deviation" in line for line in said)


def test_labels_that_are_numbered_otherwise(tmp_path):
    np.savez(tmp_path / "own.npz", images=SAMPLE.images.numpy(), labels=(SAMPLE.labels.numpy() + 1) % 10)
    result = certify(
        *PAIR,
        "--data",
        tmp_path / "own.npz",
        "--images",
        20,
        "--eps",
        0.01,
        "--method",
        "interval",
        "--out",
        tmp_path / "run",
        "--json",
    )
    (line,) = notes(result)
    assert "is right on " in line and "% of these 20 images" in line and "labels that are numbered otherwise" in line
    assert len(certificates(tmp_path / "run")) == 20  # It is done all the same.


def test_a_few_images_say_nothing():
    wrong = SAMPLE.take(TEACHER(SAMPLE.images).argmax(1) == SAMPLE.labels).take(slice(0, 4))
    wrong.labels[:] = (wrong.labels + 1) % 10
    assert not questions(TEACHER, wrong, {}, "it")


@pytest.mark.slow
def test_a_study_asks_too(tmp_path):
    for name in ("teacher", "sd"):
        model = faithkd.load(f"mnist-{name}")
        with torch.no_grad():  # Classes in another order: right on next to nothing.
            model[-1].weight.copy_(model[-1].weight.roll(1, 0))
            model[-1].bias.copy_(model[-1].bias.roll(1, 0))
        faithkd.checkpoint.save(tmp_path / f"mnist-{name}.safetensors", model, model.card)
    result = run(
        "benchmark",
        "mnist",
        "--images",
        5,
        "--student",
        "sd",
        "--eps",
        0.01,
        "--timeout",
        0.01,
        "--networks",
        tmp_path,
        "--out",
        tmp_path / "study",
    )
    assert any("is right on" in line for line in notes(result))


def test_a_study_of_other_files_says_what_they_must_be(tmp_path):
    for name in ("teacher", "sd"):
        torch.save(TEACHER.state_dict(), tmp_path / f"mnist-{name}.safetensors")
    result = run(
        "benchmark", "mnist", "--images", 5, "--student", "sd", "--networks", tmp_path, "--out", tmp_path / "study"
    )
    assert (
        result.exit_code == 1
        and "the teacher of a study must be a checkpoint of faithkd" in result.output
        and "--architecture" not in result.output
    )
