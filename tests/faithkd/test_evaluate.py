"""Evaluations give the numbers of the metrics, set claims beside them, and warn of models that attacks cannot judge."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import faithkd
from faithkd import attacks, data, metrics
from faithkd.evaluation import Setting, beside, doubts, evaluate
from faithkd.evaluation.claims import claim
from tests.faithkd.running import ROOT, checkpoint, run
from tests.faithkd.shown import Page

SAMPLE = data.load("mnist-sample").sample(60, 0)
ROBUSTBENCH = {
    "link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture", "eps", "clean_acc",
    "reported",
}  # fmt: skip
"""The fields that every file of RobustBench's `model_info` has, `autoattack_acc` aside."""


def records(*arguments: object) -> list[dict]:
    result = run("evaluate", *arguments, "--data", "mnist-sample", "--images", 60, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# Numbers


def test_records_hold_the_numbers_of_the_metrics(pair):
    found = records(
        *pair, "--attack", "pgd-5", "--attack", "cw-linf", "--eps", 0.05, "--eps", 0.1, "--unit", "normalised"
    )
    images, labels = SAMPLE
    expected = []
    for path in pair:
        model = faithkd.load(path).requires_grad_(False)
        p = torch.softmax(model(images).double(), dim=1)
        for eps in (0.05, 0.1):
            every = torch.ones(60, dtype=torch.bool)
            for name in ("pgd-5", "cw-linf"):
                held = metrics.robust_accuracy(model, images, labels, eps * 0.3081, attack=attacks.named(name))
                every &= held.every
                expected.append((path, name, eps, held.every.double().mean().item(), held.last.double().mean().item()))
            expected.append((path, "all", eps, every.double().mean().item(), None))
        for record in found:
            if record["name"] == path:
                assert record["clean"] == metrics.accuracy(model, images, labels)
                assert record["nll"] == pytest.approx(-p[torch.arange(60), labels].log().mean().item())
    assert len(found) == len(expected)
    for record, (path, name, eps, every, last) in zip(found, expected, strict=True):
        assert (record["name"], record["attack"], record["radius"]) == (path, name, eps)
        assert record["radius_pixel"] == pytest.approx(eps * 0.3081)
        assert record["every"] == every and last in (None, record["last"])


def test_records_have_robustbench_s_form(pair):
    found = records(pair[0], "--eps", "8/255", "--attack", "pgd-2")
    assert set(found[0]) >= ROBUSTBENCH
    assert found[0]["eps"] == "8/255" and found[0]["number_forward_passes"] == 1
    assert float(found[0]["clean_acc"]) == pytest.approx(100 * found[0]["clean"], abs=0.005)
    assert records(pair[0])[0]["attack"] is None


def test_parts_of_the_images_give_the_same(pair):
    arguments = (pair[0], "--eps", 0.05, "--attack", "pgd-5", "--attack", "fgsm")
    whole, parts = records(*arguments), records(*arguments, "--batch", 7)
    for one, other in zip(whole, parts, strict=True):
        assert (one["every"], one["last"]) == (other["every"], other["last"])
        assert one["ece"] == pytest.approx(other["ece"], abs=1e-6)


def test_an_embedded_network_reaches_what_its_card_claims():
    arguments = (
        "mnist-fd",
        "--data",
        "mnist-sample",
        "--eps",
        0.1,
        "--unit",
        "normalised",
        "--device",
        "cpu",
        "--json",
    )
    record = json.loads(run("evaluate", *arguments).stdout)[0]
    assert record["claimed"]["robust_from"] == "sample_robust" and record["claimed"]["clean_from"] == "sample_clean"
    assert record["claimed"]["clean"] == record["clean"]
    assert record["claimed"]["robust"] == pytest.approx(record["every"], abs=0.002)
    assert record["reported"] == f"{100 * record['claimed']['robust']:.2f}"


def test_claims_are_of_the_same_radius_unit_and_region():
    card = replace(
        faithkd.load("mnist-fd").card,
        recipe={"adversary": {"radius": 0.2, "unit": "normalised", "cut": True}},
        metrics={"held_out_clean": 0.9, "held_out_robust": 0.7, "test_robust": {"whole": {"every": 0.6}}, "score": 0.8},
    )
    asked = {"sample": False, "eps": 0.2, "unit": "normalised", "clip": True}
    assert claim(card, **asked).robust == 0.7 and claim(card, **asked).clean_from == "held_out_clean"
    assert claim(card, **asked | {"clip": False}).robust == 0.6
    for other in ({"eps": 0.1}, {"unit": "pixel"}, {"eps": None}):
        assert claim(card, **asked | other).robust is None
    assert claim(replace(card, metrics={}), **asked).clean is None


def test_a_student_beside_its_teacher(pair):
    teacher, student = (faithkd.load(path).requires_grad_(False) for path in pair)
    images, labels = SAMPLE
    found = beside(teacher, student, SAMPLE, Setting(eps=(0.05,), batch=25))
    assert found.agreement == metrics.empirical_agreement(teacher, student, images, 0.0).shares()["every"]
    near = found.radii[0]
    assert near.agreement == metrics.empirical_agreement(teacher, student, images, 0.05).shares()
    assert near.local_linearity == pytest.approx(metrics.local_linearity(student, images, labels, 0.05).mean().item())
    assert near.cases.both + near.cases.image_only + near.cases.wrong == 60
    itself = beside(student, student, SAMPLE, Setting(eps=(0.05,)))
    assert itself.agreement == itself.radii[0].agreement["every"] == 1 and itself.gradient_distance == 0
    records_of = {
        record["name"]: record for record in records(*pair, "--eps", 0.05, "--attack", "fgsm", "--teacher", pair[0])
    }
    assert "beside_teacher" not in records_of[pair[0]]
    assert records_of[pair[1]]["beside_teacher"]["at_radius"]["agreement"] == near.agreement


# Warnings


class Wrapped(nn.Module):
    """A model seen through a function of its input and one of its logits."""

    def __init__(self, model, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, x):
        return self.after(self.model(self.before(x)))


MODEL = faithkd.load("mnist-fd").requires_grad_(False)


def test_a_model_like_any_other_raises_no_doubt():
    assert evaluate(MODEL, SAMPLE, Setting(("pgd-20",), (0.03, 0.06))).warnings == ()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Wrapped(MODEL, after=lambda z: z.softmax(1)), "softmax"),
        (Wrapped(MODEL, after=lambda z: z + 0.1 * torch.rand(z.shape)), "differ"),
        (Wrapped(MODEL, before=lambda x: x + torch.rand(x.shape)), "differ"),
        (Wrapped(MODEL, before=lambda x: (4 * x).round() / 4), "zero or not finite at 60 of 60"),
        (Wrapped(MODEL, after=lambda z: z / z.abs().amin(1, keepdim=True).clamp(min=1e-30) * 1e30), "not finite"),
    ],
)
def test_a_model_that_attacks_cannot_judge_raises_one(model, words):
    found = doubts(model, *SAMPLE)
    assert any(words in sentence for sentence in found), found


def test_masked_gradients_are_found_by_the_black_box():
    """Rounding leaves the accuracy as it is and no gradient: white-box attacks stay at their start."""
    masked = Wrapped(MODEL, before=lambda x: (20 * x).round() / 20)
    setting = Setting(("pgd-20", "cw-linf"), (0.15,))
    assert any("black-box attack beats" in warning for warning in evaluate(masked, SAMPLE, setting).warnings)


def test_an_attack_that_cannot_run_is_said_and_the_others_go_on(tmp_path):
    path = checkpoint(tmp_path / "three.safetensors", (6,), 1, classes=3, dataset=None)
    labels = torch.arange(12) % 3
    few = data.Dataset("few", "test", SAMPLE.images[:12], labels, torch.arange(12), 3, 12)
    setting = Setting(("autoattack", "fgsm"), (0.1,))
    found = evaluate(faithkd.load(path).requires_grad_(False), few, setting)
    assert [(result.attack, result.held is None) for result in found.robustness] == [
        ("autoattack", True),
        ("fgsm", False),
    ]
    assert any("at least 5 classes" in warning for warning in found.warnings)


# The command


def test_the_page_and_the_terminal_show_what_the_records_hold(pair, tmp_path):
    out = tmp_path / "<evaluation>"
    result = run(
        "evaluate", *pair, "--data", "mnist-sample", "--images", 60, "--attack", "pgd-3", "--attack", "fgsm", "--eps", 0.05,
        "--teacher", pair[0], "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "pixel" in result.output and "clean" in result.output and "certificate" in result.output
    page, found = Page(out / "evaluation.html"), json.loads((out / "evaluation.json").read_text())
    assert page.addresses == []
    assert len(found) == 6
    for record in found:
        shown = f"{100 * record['every']:.2f} ({100 * record['last']:.2f})"
        assert [record["name"].split("/")[-1], record["attack"], record["clean_acc"], shown] in page.rows
        assert shown in result.output
        assert record["sha256"] in page.text
    assert "none is a certificate" in page.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--attack", "pgd-5", "--attack", "magic", "--eps", 0.1), "unknown attack"),
        (("--eps", -0.1), "radius"),
        (("--teacher", "nobody", "--eps", 0.1), "nobody"),
    ],
)
def test_bad_options_end_with_one_sentence(pair, arguments, words):
    result = run("evaluate", pair[0], "--data", "mnist-sample", *arguments)
    assert result.exit_code == 1
    assert words in result.output and result.output.strip().count("\n") <= 1


# The documentation


def test_the_documentation_names_every_attack_and_metric_and_its_program_runs():
    text = (ROOT / "docs" / "evaluation.md").read_text()
    functions = [name for name in metrics.__all__ if name[0].islower() and name not in ("correct", "decisions")]
    for name in [*attacks.NAMED, *attacks.COUNTED, *functions]:
        assert f"`{name}" in text, name
    program = text.partition("```python\n")[2].partition("```")[0]
    known = {"model": MODEL, "images": SAMPLE.images, "labels": SAMPLE.labels}
    exec(program, known)
    assert 0 < known["held"].every.sum() <= 60
