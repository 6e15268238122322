"""The state that a training is resumed from is a file like any other: damaged, foreign or hostile, it is one sentence and nothing runs."""

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from faithkd import UserError, data
from faithkd.recipes import InnerAttack, Recipe
from faithkd.torch_files import read_sealed, save_sealed
from faithkd.training import train

IMAGES = data.load("mnist-sample", "train").take(slice(0, 500))
RECIPE = Recipe(
    "short", dataset="mnist", architecture="mnist-student", method="at", epochs=30, learning_rate=0.05, weight_decay=0.0, averaging=0.9,
    adversary=InnerAttack(radius=0.01, step=0.01, steps=1),
)  # fmt: skip


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> bytes:
    """The state after one epoch."""
    out = tmp_path_factory.mktemp("state") / "net.safetensors"

    def stop(epoch: int, batch: int, metrics: object) -> None:
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        train(RECIPE, IMAGES, out, device="cpu", progress=stop)
    return out.with_suffix(".state").read_bytes()


def refused(folder: Path, recipe: Recipe = RECIPE) -> str:
    """The message of a resumed training, which must come before any epoch."""
    begun: list[int] = []
    with pytest.raises(UserError) as caught:
        train(
            recipe,
            IMAGES,
            folder / "net.safetensors",
            device="cpu",
            resume=True,
            progress=lambda epoch, *more: begun.append(epoch),
        )
    message = str(caught.value)
    assert not begun and "\n" not in message and len(message) < 600 and "resum" in message
    return message


def put(folder: Path, content: bytes) -> Path:
    path = folder / "net.state"
    path.write_bytes(content)
    return path


def test_the_state_itself_is_taken_up(state, tmp_path):
    put(tmp_path, state)
    epochs: list[int] = []

    def stop(epoch: int, batch: int, metrics: object) -> None:
        epochs.append(epoch)
        raise Stop

    with pytest.raises(Stop):
        train(RECIPE, IMAGES, tmp_path / "net.safetensors", device="cpu", resume=True, progress=stop)
    assert epochs == [2]


def test_any_bit_that_has_changed_is_noticed(state, tmp_path):
    random.seed(0)
    for _ in range(60):
        content = bytearray(state)
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        assert "is damaged" in refused_state(put(tmp_path, bytes(content)))
    for size in (0, 1, 31, 32, 33, 100, len(state) // 2, len(state) - 1):
        assert "is damaged" in refused_state(put(tmp_path, state[:size]))
    assert "is damaged" in refused_state(put(tmp_path, state + b"\0"))


def refused_state(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_sealed(path)
    return str(caught.value)


class Harm:
    """What a hostile pickle does when it is read: it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_pickle_runs_nothing(tmp_path):
    for content in (Harm(tmp_path / "harmed"), {"options": Harm(tmp_path / "harmed")}):
        save_sealed(tmp_path / "net.state", content)
        assert "pickled objects" in refused(tmp_path)
    assert not (tmp_path / "harmed").exists()


def edited(change):
    """A state with a seal of its own, changed by hand."""

    def edit(values: dict) -> object:
        return change(values) or values

    return edit


def momentum(values: dict) -> dict:
    return next(iter(values["optimiser"]["state"].values()))


def tensors(values: dict) -> dict:
    return values["trained"]


EDITS = {
    "something else": edited(lambda v: [1, 2]),
    "a state dict": edited(lambda v: v["trained"]),
    "a field more": edited(lambda v: v.update(more=1)),
    "a field less": edited(lambda v: v.pop("curves") and None),
    "epoch beyond the end": edited(lambda v: v.update(epoch=31)),
    "epoch far beyond": edited(lambda v: v.update(epoch=10**9)),
    "epoch below 0": edited(lambda v: v.update(epoch=-1)),
    "epoch of words": edited(lambda v: v.update(epoch="2")),
    "epoch that is true": edited(lambda v: v.update(epoch=True)),
    "stage beyond the end": edited(lambda v: v.update(stage=1)),
    "attempt beyond the last": edited(lambda v: v.update(attempt=6)),
    "attempt of huge number": edited(lambda v: v.update(attempt=10**12)),
    "no weights": edited(lambda v: v.update(trained={})),
    "weights of words": edited(lambda v: v.update(trained={"2.weight": "x"})),
    "another weight": edited(lambda v: tensors(v).update({"9.weight": torch.zeros(3)})),
    "a weight less": edited(lambda v: tensors(v).pop("2.weight") is None),
    "a weight of another shape": edited(lambda v: tensors(v).update({"2.weight": torch.zeros(3, 3)})),
    "a weight of another kind": edited(lambda v: tensors(v).update({"2.bias": torch.zeros(20, dtype=torch.int64)})),
    "best weights of another shape": edited(lambda v: v["best"]["weights"].update({"2.weight": torch.zeros(3, 3)})),
    "best without a score": edited(lambda v: v["best"].pop("score") is None),
    "best of words": edited(lambda v: v.update(best="none")),
    "no optimiser": edited(lambda v: v.update(optimiser={})),
    "optimiser of another": edited(lambda v: v.update(optimiser={"state": {}, "param_groups": []})),
    "momentum of another shape": edited(lambda v: momentum(v).update(momentum_buffer=torch.zeros(3))),
    "momentum of words": edited(lambda v: momentum(v).update(momentum_buffer="fast")),
    "averager of another": edited(lambda v: v.update(averager={"n_averaged": torch.tensor(1)})),
    "metrics of words": edited(lambda v: v.update(metrics={"loss": "small"})),
    "metrics without a loss": edited(lambda v: v.update(metrics={"score": 0.5})),
    "curves of words": edited(lambda v: v.update(curves=["a"])),
    "options of words": edited(lambda v: v.update(options="the same")),
    "an option that is a tensor": edited(lambda v: v["options"].update(seed=torch.zeros(3))),
    "an option that differs": edited(lambda v: v["options"].update(momentum=0.5)),
    "an option that is true for 1": edited(lambda v: v["options"].update(processes=True)),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_state_that_was_changed_by_hand_is_refused(state, tmp_path, name):
    values = read_sealed(put(tmp_path, state))
    save_sealed(tmp_path / "net.state", EDITS[name](values))
    refused_or_taken = refused(tmp_path)
    assert refused_or_taken


def test_settings_of_the_optimiser_come_from_the_recipe(state, tmp_path):
    """What a file says of rate, momentum and decay moves nothing."""
    values = read_sealed(put(tmp_path, state))
    for group in values["optimiser"]["param_groups"]:
        group.update(momentum="huge", weight_decay=1e9, lr=float("nan"))
    short = replace(RECIPE, epochs=30)
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    save_sealed(tmp_path / "one" / "net.state", values)
    put(tmp_path / "other", state)
    losses = []
    for folder in ("one", "other"):
        seen: list[float] = []

        def stop(epoch: int, batch: int, measured: dict, seen=seen) -> None:
            seen.append(measured["loss"])
            if len(seen) == 3:
                raise Stop

        with pytest.raises(Stop):
            train(short, IMAGES, tmp_path / folder / "net.safetensors", device="cpu", resume=True, progress=stop)
        losses.append(seen)
    assert losses[0] == losses[1]


def test_the_state_of_another_recipe_is_named_by_what_differs(state, tmp_path):
    put(tmp_path, state)
    assert "started with learning_rate 0.05" in refused(tmp_path, replace(RECIPE, learning_rate=0.1))
    assert "started with architecture" in refused(tmp_path, replace(RECIPE, architecture="mnist-teacher"))


def test_what_is_no_file_does_not_keep_one_waiting(tmp_path):
    began = time.monotonic()
    os.mkfifo(tmp_path / "net.state")
    assert "named pipe" in refused(tmp_path)
    (tmp_path / "net.state").unlink()
    (tmp_path / "net.state").symlink_to("/dev/zero")
    assert "device" in refused(tmp_path)
    (tmp_path / "net.state").unlink()
    (tmp_path / "net.state").mkdir()
    assert "folder" in refused(tmp_path)
    assert time.monotonic() - began < 20
