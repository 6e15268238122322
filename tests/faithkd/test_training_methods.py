"""Every method trains and resumes; weight perturbation, averaging, schedules and curves against second implementations."""

from __future__ import annotations

import json
import math
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from faithkd import UserError, checkpoint, data, recipes
from faithkd.distillation import METHODS, TEACHERS, find_method
from faithkd.embedded import find
from faithkd.recipes import InnerAttack, Recipe
from faithkd.training import total_epochs, train, train_seeds
from faithkd.training.measuring import mean_entropy, measure
from faithkd.training.perturbation import perturbed
from faithkd.training.plan import Images
from faithkd.training.schedules import rate
from tests.faithkd.running import environment, run

IMAGES = data.load("mnist-sample", "train")
FEW = IMAGES.take(slice(0, 600))
QUICK = InnerAttack(radius=0.05, step=0.025, steps=2, unit="normalised", growth=0.4)


def recipe(method: str, **changes: Any) -> Recipe:
    """The MNIST recipe of a method, for the student, with a quick adversary."""
    found = recipes.for_method("mnist", method)
    attack = None if found.adversary is None else QUICK
    quick = {"architecture": "mnist-student", "adversary": attack, "held_out": 200, "batch_size": 32}
    return replace(found, **{**quick, **changes})


def teachers(method: str) -> list[str] | None:
    """As many embedded networks as a method has teachers; two for an ensemble."""
    count = {0: 0, 1: 1}.get(find_method(method).teachers, 2)  # type: ignore[arg-type]
    return ["mnist-teacher", "mnist-sd"][:count] or None


@pytest.mark.parametrize("method", [*TEACHERS, *METHODS])
def test_every_method_learns(method: str, tmp_path: Path) -> None:
    settings = {"loops": 1} if find_method(method).loops else {}
    trained = train(
        recipe(method, epochs=6, batch_size=64, settings=settings),
        IMAGES,
        tmp_path / "a.safetensors",
        teacher=teachers(method),
        device="cpu",
    )
    assert trained.card.metrics["held_out_clean"] > 0.5
    assert trained.card.method == method
    digests = [checkpoint.sha256(find(name)) for name in teachers(method) or []]
    assert trained.card.teacher == (digests if len(digests) > 1 else digests[0] if digests else None)


PROGRAM = """
import sys
import torch
from tests.faithkd.test_training_methods import resumable

torch.set_num_threads(1)
resumable(*sys.argv[1:])
"""
RESUMED = {
    "isd-wot": recipe("isd-wot", epochs=2, settings={"loops": 2}),
    "iad-1": recipe("iad-1", epochs=4, settings={"warm_up": 2}),
    "akd": recipe("akd", epochs=3, settings={"weights": [0.3, 0.7]}),
}


def resumable(method: str, out: str | Path) -> None:
    """Train by `RESUMED`, from where an earlier run was left; prints epoch and batch."""
    train(
        RESUMED[method],
        FEW,
        out,
        teacher=teachers(method),
        device="cpu",
        resume=True,
        keep_epochs=(2,),
        progress=lambda epoch, batch, metrics: print(epoch, batch, flush=True),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("method", "moment"), [("isd-wot", "5 2"), ("iad-1", "3 3"), ("akd", "2 1")])
def test_kill_and_resume_give_the_same_bytes(
    method: str, moment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the second loop of `isd`, in the epoch after `iad`'s warm-up, in the middle of an ensemble's student."""
    outs = [tmp_path / name / "net.safetensors" for name in "ab"]
    resumable(method, outs[0])
    command = [sys.executable, "-c", PROGRAM, method, str(outs[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == moment:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    capsys.readouterr()
    resumable(method, outs[1])
    assert capsys.readouterr().out.split()[0] == moment.split()[0]
    same_files(tmp_path / "a", tmp_path / "b")


def same_files(one: Path, other: Path) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir()) and len(names) > 2
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("igam", {"epochs": 3, "learning_rate": 0.001}),
        ("isd-wit", {"epochs": 2, "dropout": 0.0, "settings": {"loops": 2}}),
        ("at", {"epochs": 3, "averaging": 0.9, "weight_perturbation": 0.01}),
        ("trades", {"epochs": 3, "augment": True, "schedule": "one-cycle"}),
    ],
)
def test_an_interrupted_run_ends_as_another(method: str, changes: dict[str, Any], tmp_path: Path) -> None:
    """The critic and its optimiser, the loops' networks, the average: all of it is in the state."""

    def stop(epoch: int, batch: int, metrics: object) -> None:
        if (epoch, batch) == (3, 2):
            raise Stop

    plan: dict[str, Any] = {"teacher": teachers(method), "device": "cpu", "student_from": "mnist-sd"}
    train(recipe(method, **changes), FEW, tmp_path / "a" / "net.safetensors", **plan)
    with pytest.raises(Stop):
        train(recipe(method, **changes), FEW, tmp_path / "b" / "net.safetensors", progress=stop, **plan)
    train(recipe(method, **changes), FEW, tmp_path / "b" / "net.safetensors", resume=True, **plan)
    same_files(tmp_path / "a", tmp_path / "b")


TOGETHER = """
import sys
import torch
from tests.faithkd.test_training_methods import FEW, TOGETHER_RECIPE
from faithkd.training import train

torch.set_num_threads(1)
train(TOGETHER_RECIPE, FEW, sys.argv[1], device="cpu", student_from="mnist-sd")
"""
TOGETHER_RECIPE = recipe("trades", epochs=2, averaging=0.9, weight_perturbation=0.01, batch_size=33)
TOGETHER_RECIPE = replace(TOGETHER_RECIPE, adversary=replace(QUICK, start="image", radius=0.0))


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Gradients and weight perturbation are those of the whole batch, and so the weights are, up to rounding."""
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    place = {**environment(), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [*command, tmp_path / "two.safetensors"], env=place, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    train(TOGETHER_RECIPE, FEW, tmp_path / "one.safetensors", device="cpu", student_from="mnist-sd")
    one, two = (checkpoint.load(tmp_path / f"{name}.last.safetensors").state_dict() for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5)
    curves = [json.loads((tmp_path / f"{name}.curves.json").read_text())["epochs"][-1] for name in ("one", "two")]
    assert curves[0]["loss"] == pytest.approx(curves[1]["loss"], rel=1e-4)
    begun = checkpoint.load("mnist-sd").state_dict()
    assert (one["2.weight"] - begun["2.weight"]).abs().max() > 1e-2


def test_loops_hand_on_their_networks(tmp_path: Path) -> None:
    """Loop 0 is plain training; a loop at rate 0 ends where it began, at the network of the loop before."""
    out = tmp_path / "net.safetensors"
    still = recipe("isd-wot", epochs=2, dropout=0.0, settings={"loops": 2, "later_rate": 0.0})
    trained = train(still, FEW, out, device="cpu")
    assert total_epochs(still) == 6
    loops = [checkpoint.load(out.with_suffix(f".loop-{k}.safetensors")) for k in range(3)]
    plain = train(
        replace(still, method="st", settings={}, name="plain"), FEW, tmp_path / "plain.safetensors", device="cpu"
    )
    for network in (*loops, checkpoint.load(trained.last)):
        for name, weight in checkpoint.load(plain.last).state_dict().items():
            assert torch.equal(network.state_dict()[name], weight)
    assert [network.card.metrics["loop"] for network in loops] == [0, 1, 2]
    rows = json.loads(out.with_suffix(".curves.json").read_text())["epochs"]
    assert [(row["stage"], row["epoch"]) for row in rows] == [(s, e) for s in range(3) for e in (1, 2)]


@pytest.mark.parametrize("method", ["isd-wot", "isd-wit"])
def test_a_later_loop_is_kdiga_from_the_network_before(method: str, tmp_path: Path) -> None:
    """One batch an epoch, so that the order of the images plays no part; up to rounding."""
    whole: dict[str, Any] = {"epochs": 2, "batch_size": len(FEW), "dropout": 0.0}
    settings = {"loops": 1 if method == "isd-wot" else 2, "later_rate": 0.5}
    out = tmp_path / "net.safetensors"
    begun: dict[str, Any] = {"student_from": "mnist-sd", "device": "cpu"}
    looped = recipe(method, **whole, settings=settings)
    train(looped, FEW, out, teacher=teachers(method), **begun)
    before, after = (out.with_suffix(f".loop-{k}.safetensors") for k in ((0, 1) if method == "isd-wot" else (1, 2)))
    rates = {"learning_rate": looped.learning_rate / 2, "final_learning_rate": looped.final_learning_rate / 2}
    plain = recipe("kdiga", **whole, **rates)
    trained = train(plain, FEW, tmp_path / "b.safetensors", teacher=before, student_from=before, device="cpu")
    start, wanted = checkpoint.load(before).state_dict(), checkpoint.load(trained.last).state_dict()
    for name, weight in checkpoint.load(after).state_dict().items():
        torch.testing.assert_close(weight, wanted[name], rtol=1e-4, atol=1e-6)
    assert (wanted["2.weight"] - start["2.weight"]).abs().max() > 1e-4


def test_a_student_can_begin_as_a_trained_one(tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    still = recipe("kdiga", epochs=1, learning_rate=0.0, final_learning_rate=0.0)
    start: dict[str, Any] = {"teacher": "mnist-teacher", "student_from": "mnist-sd", "device": "cpu"}
    card = train(still, FEW, out, **start).card
    assert card.student_from == checkpoint.sha256(find("mnist-sd"))
    begun = checkpoint.load("mnist-sd").state_dict()
    assert all(torch.equal(weight, begun[name]) for name, weight in checkpoint.load(out).state_dict().items())
    with pytest.raises(UserError, match="another student"):
        train(still, FEW, out, teacher="mnist-teacher", device="cpu", resume=True)
    with pytest.raises(UserError, match="same architecture"):
        train(still, FEW, tmp_path / "b.safetensors", **{**start, "student_from": "mnist-teacher"})


def test_averaged_weights_are_what_is_kept(tmp_path: Path) -> None:
    """With the share 1 of the old average nothing moves after the first step, where the average begins."""
    several = recipe("st", epochs=3, averaging=1.0)
    begun: dict[str, Any] = {"student_from": "mnist-sd", "device": "cpu"}
    train(several, FEW, tmp_path / "a.safetensors", keep_epochs=(1,), **begun)
    first, last = (checkpoint.load(tmp_path / f"a.{name}.safetensors").state_dict() for name in ("epoch-1", "last"))
    train(replace(several, averaging=0.0), FEW, tmp_path / "b.safetensors", **begun)
    moved = checkpoint.load(tmp_path / "b.last.safetensors").state_dict()
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert not torch.equal(moved["2.weight"], last["2.weight"])


def test_weights_are_perturbed_by_the_share_of_their_norm_and_given_back() -> None:
    """On a linear network, whose gradient is written out: `d = (p - y) x^T`."""
    x, label = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([1])
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    weight, bias = network[0].weight, network[0].bias
    before, running = weight.detach().clone(), network[1].running_mean.clone()  # type: ignore[operator, union-attr]
    p = torch.softmax((x @ before.T + bias.detach()) / math.sqrt(1 + network[1].eps), dim=1)
    d = (p - functional.one_hot(label, 2)).T @ x  # up to a factor
    wanted = before + 0.1 * before.norm() * d / d.norm()
    with perturbed(network, lambda: functional.cross_entropy(network(x), label), 0.1):
        torch.testing.assert_close(weight.detach(), wanted)
        assert torch.equal(bias.detach(), network[0].bias)
    assert torch.equal(weight, before)
    network.train()
    with pytest.raises(Stop), perturbed(network, lambda: network(x.repeat(2, 1)).square().sum(), 0.1):
        raise Stop
    assert torch.equal(weight, before) and torch.equal(network[1].running_mean, running)  # type: ignore[arg-type]


SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "one-cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.2, total_steps=1000),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.0, 0.2, step_size_up=500),
    "step": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [500, 800], 0.5),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedules_are_those_of_pytorch(name: str) -> None:
    """A hundred epochs of ten batches; PyTorch's one cycle has its peak and its end one step earlier than at 0.3 and 1."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = SCHEDULERS[name](optimiser)
    factor = 0.9 if name == "exponential" else 0.5
    schedule = recipe("st", epochs=100, learning_rate=0.2, schedule=name, milestones=(50, 80), factor=factor)
    for step in range(1000):
        epoch, batch = divmod(step, 10)
        close = pytest.approx(scheduler.get_last_lr()[0], rel=1e-6, abs=2e-3 if name == "one-cycle" else 1e-9)
        assert rate(schedule, epoch, batch / 10) == close
        optimiser.step()
        if name != "exponential" or batch == 9:
            scheduler.step()


def test_curves_say_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    trained = train(recipe("ard", epochs=2), FEW, out, teacher="mnist-teacher", device="cpu")
    rows = json.loads(out.with_suffix(".curves.json").read_text())["epochs"]
    assert [row["epoch"] for row in rows] == [1, 2]
    last = rows[-1]
    for name in ("loss", "held_out_clean", "held_out_robust", "score"):
        assert last[name] == trained.last_card.metrics[name]
    held = round(0.2 * 600)
    cases = [last[name] for name in ("teacher_right_at_both", "teacher_right_at_image_only", "teacher_wrong_at_image")]
    assert sum(cases) == held
    teacher, order = checkpoint.load("mnist-teacher").requires_grad_(False), torch.arange(len(FEW))
    images = Images.split(replace(FEW, labels=order), 200, torch.device("cpu"))
    labels = FEW.labels[images.held_out[1]]
    wrong = (teacher(images.held_out[0]).argmax(1) != labels).sum()
    assert cases[2] == wrong
    network = checkpoint.load(trained.last).requires_grad_(False)
    p = torch.softmax(network(images.train[0]).double(), dim=1)
    assert last["train_entropy"] == pytest.approx(float(torch.distributions.Categorical(p).entropy().mean()), rel=1e-5)


def test_entropy_is_known_for_even_outputs() -> None:
    class Even(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 8)

    assert mean_entropy(Even(), torch.zeros(1100, 1)) == pytest.approx(math.log(8))
    measured = measure(Even(), None, None, (torch.zeros(10, 1), torch.zeros(10, dtype=torch.int64)), torch.zeros(5, 1))
    assert measured.metrics == {"held_out_clean": 1.0, "score": 1.0}


def test_several_seeds_give_mean_and_deviation(tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    result = run(
        "distill", "sd", "--teacher", "mnist-teacher", "--data", "mnist-sample", "--epochs", 2, "--device", "cpu",
        "--seeds", "0,1,2", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    cards = [checkpoint.read_card(out.with_suffix(f".seed-{seed}.last.safetensors")) for seed in range(3)]
    accuracies = [card.metrics["held_out_clean"] for card in cards]
    assert len(set(accuracies)) > 1
    mean, deviation = json.loads(out.with_suffix(".seeds.json").read_text())["last"]["held_out_clean"]
    assert mean == pytest.approx(statistics.fmean(accuracies))
    assert deviation == pytest.approx(statistics.stdev(accuracies))
    assert f"{mean:.4f} ± {deviation:.4f}" in result.stdout
    again = train_seeds(
        replace(recipes.load("mnist-sd"), epochs=2),
        IMAGES,
        out,
        (0, 1, 2),
        teacher="mnist-teacher",
        device="cpu",
        resume=True,
    )
    assert again.statistics["last"]["held_out_clean"] == (mean, deviation)


def test_teachers_are_counted_and_settings_checked(tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    for method, settings, given, match in (
        ("iad-2", {}, ["mnist-teacher"], "2 teachers, but 1"),
        ("fd", {}, ["mnist-teacher", "mnist-sd"], "1 teachers, but 2"),
        ("akd", {}, None, "needs a teacher"),
        ("isd-wot", {}, ["mnist-teacher"], "has no teacher"),
        ("akd", {"weights": [0.5]}, ["mnist-teacher", "mnist-sd"], "2 numbers"),
        ("iad-1", {"gamma": "1 - v"}, ["mnist-teacher"], "gamma of iad-1 must be a number"),
        ("sd", {"kl_reduction": "sum"}, ["mnist-teacher"], "one of batchmean, mean"),
        ("sd", {"alpha": True}, ["mnist-teacher"], "must be a number"),
    ):
        with pytest.raises(UserError, match=match):
            train(recipe(method, settings=settings), FEW, out, teacher=given, device="cpu")
    for change, match in (({"schedule": "sawtooth"}, "schedule must be one of"), ({"dropout": 1.5}, "dropout")):
        with pytest.raises(UserError, match=match):
            Recipe.from_dict({**recipe("st").to_dict(), **change})


def test_the_list_of_methods_has_a_line_and_a_citation_each() -> None:
    lines = run("distill", "--list").output.splitlines()
    assert [line.split()[0] for line in lines] == list(METHODS)
    assert all(METHODS[line.split()[0]].citation in line and METHODS[line.split()[0]].summary in line for line in lines)


OWN = """
from faithkd.distillation import Adversary, Method, kl, register

register(Method(
    name="{name}",
    summary="the teacher at the clean image, twice as important",
    loss=lambda *, teacher_clean, student_adversarial, labels, weight=2.0: weight * kl(teacher_clean, student_adversarial).mean(),
    adversary=Adversary(objective="kl"),
    citation="me, here",
))
"""


def test_a_method_from_outside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command line and a file of one's own, without a recipe: the data set's base gives the rest."""
    monkeypatch.setattr("faithkd.distillation.registry.METHODS", METHODS.copy())
    monkeypatch.setattr("faithkd.distillation.METHODS", sys.modules["faithkd.distillation.registry"].METHODS)
    (tmp_path / "twice.py").write_text(OWN.format(name="twice"))
    out = tmp_path / "net.safetensors"
    result = run(
        "distill", "twice", "--import", tmp_path / "twice.py", "--teacher", "mnist-teacher", "--data", "mnist-sample",
        "--epochs", 1, "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert checkpoint.read_card(out).method == "twice"
    assert "twice as important" in run("distill", "--list", "--import", tmp_path / "twice.py").output


def test_the_recipe_is_changed_on_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    common = (
        "distill",
        "rslad",
        "--teacher",
        "mnist-teacher",
        "--data",
        "mnist-sample",
        "--epochs",
        1,
        "--device",
        "cpu",
    )
    changes = (
        "--set",
        "settings.mixing=0.8",
        "--set",
        "adversary.steps=1",
        "--set",
        "schedule=cyclic",
        "--set",
        "batch_size = 64",
    )
    result = run(*common, *changes, "--out", out)
    assert result.exit_code == 0, result.output
    made: Any = checkpoint.read_card(out).recipe
    assert (made["settings"]["mixing"], made["adversary"]["steps"], made["schedule"], made["batch_size"]) == (
        0.8,
        1,
        "cyclic",
        64,
    )
    assert made["settings"]["alpha"] == 0.5
    for change, match in (("colour=1", "colour"), ("steps", "not a change"), ("model.x=1", "not a change")):
        refused = run(*common, "--set", change, "--out", tmp_path / "b.safetensors")
        assert refused.exit_code == 1 and match in refused.output


def test_a_recipe_that_is_based_on_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "mnist-fd"\nmethod = "kdiga"\nepochs = 7\n[settings]\nalpha = 0.1\n')
    mine, base = recipes.load(path), recipes.load("mnist-fd")
    assert (mine.name, mine.method, mine.epochs, mine.settings, mine.adversary) == (
        "mine",
        "kdiga",
        7,
        {"alpha": 0.1},
        None,
    )
    assert mine.learning_rate == base.learning_rate
    assert recipes.load("mnist-akd").adversary == base.adversary


@pytest.mark.parametrize("name", recipes.names())
def test_a_packaged_recipe_fits_its_method(name: str) -> None:
    found = recipes.load(name)
    method = find_method(found.method)
    assert set(found.settings) <= {*method.defaults, *method.options}
    assert found.adversary is not None or method.adversary is None
    assert found.source and Recipe.from_dict(found.to_dict()) == found
