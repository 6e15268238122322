"""Every training method on full MNIST with one budget: how accurate, robust and faithful its student is, and what it costs.

    python benchmarks/measuring/methods.py                   # all rows, 25 epochs each, into runs/methods and results/methods.json
    python benchmarks/measuring/methods.py --workers 2       # by two processes
    python benchmarks/measuring/methods.py --only kdiga igam # these rows

Needs the full data (`FAITHKD_DATA`, or a download) and pyautoattack. A stopped run continues where it was: in the middle of a
training, and after the last recorded row.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import faithkd
import verify
from faithkd import attacks, data, recipes
from faithkd.metrics import accuracy, decisions, empirical_agreement, gradient_distance, robust_accuracy
from faithkd.models import Network
from faithkd.recipes import Recipe
from faithkd.training import epoch, measuring, train

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.record import Record, Task, measure_all

EPOCHS = 25
FOLDER = Path("runs/methods")
RADIUS = 0.1  # normalised
TEACHER = "mnist-teacher"
IMAGES, PROVED = 1000, 200
CUT = (0.0, 1.0)


@dataclass(frozen=True)
class Row:
    """A training: the recipe that it starts from, what it changes, its teachers (of `TEACHERS`, or embedded), the loops it shows."""

    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    teachers: tuple[str, ...] = (TEACHER,)
    changes: Mapping[str, Any] = field(default_factory=dict)
    loops: tuple[int, ...] = ()
    keep: tuple[int, ...] = ()


LIKE_TEACHER = {"architecture": "mnist-teacher"}
DECAYING = {**LIKE_TEACHER, "schedule": "exponential", "factor": 0.9}
EARLY = 10
TEACHERS = {
    "standard": Row("mnist-st", teachers=(), changes=DECAYING, keep=(EARLY,)),
    **{f"robust-{k}": Row("mnist-at", teachers=(), changes={**DECAYING, "seed": k}, keep=(EARLY,)) for k in range(4)},
}
"""Teachers besides the embedded one. AKD's rate decays by 0.9 an epoch; `.early` is its epoch 10 of 25, for the paper's 20 of 50."""

IAD_ARD = {"alpha": 1.0, "temperature": 1.0}
ROWS = {
    "st": Row("mnist-st", teachers=(), changes={"architecture": "mnist-student"}),
    "at": Row("mnist-at", teachers=()),
    "at-ffgsm": Row("mnist-at-ffgsm", teachers=(), changes={"architecture": "mnist-student"}),
    "trades": Row("mnist-trades", teachers=(), changes={"architecture": "mnist-student"}),
    "at-awp": Row("mnist-at", teachers=(), changes={"weight_perturbation": 0.01}),
    "trades-awp": Row("mnist-trades-awp", teachers=(), changes={"architecture": "mnist-student"}),
    "at, averaged": Row("mnist-at", teachers=(), changes={"averaging": 0.995}),
    "sd": Row("mnist-sd"),
    "ard": Row("mnist-ard"),
    "ard, T 1, a 1": Row("mnist-ard", IAD_ARD),
    "rslad": Row("mnist-rslad"),
    "rslad, mixing 0.75": Row("mnist-rslad", {"mixing": 0.75}),
    "fd": Row("mnist-fd"),
    "akd": Row("mnist-akd"),
    "akd, mixing 1, robust": Row("mnist-akd", {"mixing": 1.0}, ("robust-0",)),
    "akd, mixing 0.5, robust": Row("mnist-akd", {"mixing": 0.5}, ("robust-0",)),
    "akd, mixing 1, robust, early": Row("mnist-akd", {"mixing": 1.0}, ("robust-0.early",)),
    "akd, mixing 0.5, robust, early": Row("mnist-akd", {"mixing": 0.5}, ("robust-0.early",)),
    "akd, mixing 1, standard": Row("mnist-akd", {"mixing": 1.0}, ("standard",)),
    "akd, mixing 0.5, standard": Row("mnist-akd", {"mixing": 0.5}, ("standard",)),
    "akd, mixing 0.5, standard, early": Row("mnist-akd", {"mixing": 0.5}, ("standard.early",)),
    "akd, mixing 0.5, four robust, early": Row(
        "mnist-akd", {"mixing": 0.5}, tuple(f"robust-{k}.early" for k in range(4))
    ),
    "akd2": Row("mnist-akd2", teachers=(TEACHER, "standard")),
    "iad-1": Row("mnist-iad-1", {"warm_up": 8}),
    "iad-1-down": Row("mnist-iad-1-down", {"warm_up": 8}),
    "iad-2": Row("mnist-iad-2", {"warm_up": 5}, (TEACHER, "standard")),
    "iad-2, partial trust": Row("mnist-iad-2", {"warm_up": 5, "gamma": 0.0}, (TEACHER, "standard")),
    "kdiga": Row("mnist-kdiga"),
    "kdiga, batch": Row("mnist-kdiga", {"iga_reduction": "batch"}),
    "kdiga-fgsm": Row("mnist-kdiga-fgsm"),
    "kdiga-ard-c": Row("mnist-kdiga-ard-c"),
    "kdiga-ard-a": Row("mnist-kdiga-ard-a"),
    "isd-wot": Row("mnist-isd-wot", teachers=(), loops=(0, 1, 2, 3, 4, 5, 6)),
    "isd-wit": Row("mnist-isd-wit", loops=(1, 2, 3, 4, 5, 6)),
    "igam": Row("mnist-igam"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, help="these rows")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="in place of 25; recorded as rows of their own")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record("methods")
    chosen = {name: ROWS[name] for name in options.only or ROWS}
    needed = {name.removesuffix(".early") for row in chosen.values() for name in row.teachers} & set(TEACHERS)
    for name in sorted(needed):
        trained(name, TEACHERS[name], options.epochs)
    tasks = [
        Task({"row": name, "loop": loop, "epochs": options.epochs}, measured, (name, loop, options.epochs))
        for name, row in chosen.items()
        for loop in row.loops or (None,)
    ]
    for row in measure_all(record, tasks, options.workers):
        print(json.dumps(row), flush=True)


def trained(name: str, row: Row, epochs: int) -> Path:
    """Train a row's network, unless it is there; the path of its best epoch."""
    recipe = the_recipe(row, epochs)
    out = FOLDER / f"{epochs}" / f"{name.replace(', ', '_').replace(' ', '-')}.safetensors"
    clock = EpochClock(out.with_suffix(".seconds.json"))

    def progress(number: int, batch: int, metrics: Mapping[str, float]) -> None:
        if len(metrics) > 1:
            clock.tick()
            print(name, number, {key: round(value, 4) for key, value in metrics.items()}, flush=True)

    train(
        recipe,
        data.load("mnist", "train"),
        out,
        teacher=[teacher(which, epochs) for which in row.teachers] or None,
        device="cpu",
        resume=True,
        keep_epochs=row.keep,
        progress=progress,
        say=print,
    )
    return out


def the_recipe(row: Row, epochs: int) -> Recipe:
    recipe = recipes.load(row.recipe)
    return replace(recipe, epochs=epochs, settings={**recipe.settings, **row.settings}, **row.changes)


def teacher(name: str, epochs: int) -> str | Path:
    """The last epoch of a teacher, or its early one."""
    if name == TEACHER:
        return name
    kind = f"epoch-{EARLY}" if name.endswith(".early") else "last"
    return FOLDER / f"{epochs}" / f"{name.removesuffix('.early')}.{kind}.safetensors"


class EpochClock:
    """Seconds of every epoch, wall clock and processor, kept over interruptions."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._now = path, (time.perf_counter(), time.process_time())

    def tick(self) -> None:
        """An epoch has ended."""
        now = (time.perf_counter(), time.process_time())
        known = json.loads(self._path.read_text()) if self._path.exists() else []
        self._path.write_text(
            json.dumps([*known, [after - before for after, before in zip(now, self._now, strict=True)]])
        )
        self._now = now


def measured(name: str, loop: int | None, epochs: int) -> dict[str, Any]:
    """The values of a row: train its network and measure it against the embedded teacher."""
    row = ROWS[name]
    path = trained(name, row, epochs)
    seconds = json.loads(path.with_suffix(".seconds.json").read_text())
    student = faithkd.load(path if loop is None else path.with_suffix(f".loop-{loop}.safetensors")).requires_grad_(
        False
    )
    imitated = faithkd.load(TEACHER).requires_grad_(False)
    images, labels = data.load("mnist").sample(IMAGES, seed=0)
    eps = RADIUS * 0.3081
    shares = {
        label: robust_accuracy(student, images, labels, eps, attack=attacks.named(attack)).shares()["every"]
        for label, attack in (("pgd_50", "pgd-50"), ("cw_linf", "cw-linf"))
    }
    # Each image has half a second, but they are a budget of all 200 together.
    proved = verify.faithfulness(
        imitated, student, images[:PROVED], eps, valid_range=CUT, options=verify.Options(timeout=0.5), method="complete"
    )
    return {
        "radius": RADIUS,
        "clean": accuracy(student, images, labels),
        "clean_all": accuracy(student, *data.load("mnist")),
        **shares,
        "autoattack": under_autoattack(student, images, labels, eps),
        "agreement_clean": float((decisions(imitated, images) == decisions(student, images)).double().mean()),
        "agreement": empirical_agreement(imitated, student, images, eps).shares()["every"],
        "emplb": float(proved.emplb.mean()),
        "faithub": float(proved.faithub.mean()),
        "status": {status: proved.status.count(status) for status in sorted(set(proved.status))},
        "gradient_distance": float(gradient_distance(imitated, student, images, labels).mean()),
        "seconds_per_epoch": round(statistics.median(wall for wall, _ in seconds), 2),
        "cpu_seconds_per_epoch": round(statistics.median(cpu for _, cpu in seconds), 2),
        **passes(row, epochs),
        "held_out": {
            key: value for key, value in student.card.metrics.items() if key.startswith(("held_out", "epoch"))
        },
    }


def under_autoattack(model: Network, images: Tensor, labels: Tensor, eps: float) -> float:
    """Accuracy under AutoAttack. What is proved to be decided rightly on the whole region cannot be attacked, so it is not."""
    proved = verify.robustness(model, images, labels, eps, valid_range=CUT)
    certified = torch.tensor([status == "certified" for status in proved.status])
    attacked = robust_accuracy(model, images[~certified], labels[~certified], eps, attack=attacks.named("autoattack"))
    return (int(certified.sum()) + int(attacked.every.sum())) / len(images)


def passes(row: Row, epochs: int) -> dict[str, float]:
    """Forward and backward passes of all networks, a training image and epoch, counted in the last epoch of a short training."""
    count = {"forward": 0, "backward": 0}
    counting = True

    def forward(module: nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> None:
        if isinstance(module, Network) and counting:
            count["forward"] += len(logits)
            if logits.requires_grad:
                logits.register_hook(backward)

    def backward(gradient: Tensor) -> None:
        count["backward"] += len(gradient)

    @contextmanager
    def uncounted() -> Iterator[None]:
        nonlocal counting
        counting = False
        yield
        counting = True

    def measure(*arguments: Any) -> measuring.Measured:
        with uncounted():
            return measuring.measure(*arguments)

    def last_epoch(number: int, batch: int, metrics: Mapping[str, float]) -> None:
        if len(metrics) > 1:
            counts.append(dict(count))

    counts: list[dict[str, int]] = [dict(count)]
    images = data.load("mnist-sample", "train")
    few = images.take(slice(0, 640))
    handle = nn.modules.module.register_module_forward_hook(forward)
    out = FOLDER / "passes.safetensors"
    recipe = replace(the_recipe(row, epochs), epochs=2, held_out=128, batch_size=128)
    recipe = replace(recipe, settings={**recipe.settings, **({"warm_up": 0} if "warm_up" in recipe.settings else {})})
    if row.loops:
        recipe = replace(recipe, settings={**recipe.settings, "loops": 1})
    try:
        with (
            mock.patch.object(epoch, "measure", measure),
            mock.patch("faithkd.training.loop._collapsed", lambda *_: False),
        ):
            train(
                recipe,
                few,
                out.with_stem(f"passes-{id(row)}"),
                teacher=[teacher(which, epochs) for which in row.teachers] or None,
                device="cpu",
                progress=last_epoch,
            )
    finally:
        handle.remove()
        for path in FOLDER.glob(f"passes-{id(row)}*"):
            path.unlink()
    trained_on = 512
    return {f"{kind}_passes": (counts[-1][kind] - counts[-2][kind]) / trained_on for kind in count}


if __name__ == "__main__":
    main()
