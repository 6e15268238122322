"""`faithkd train`: a teacher by a recipe; and what it shares with `distill`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faithkd.cli.options import (
    Numbers,
    data_dir_option,
    debug_option,
    device_option,
    import_option,
    on_terminal,
    say,
    valid_range_option,
)  # fmt: skip
from faithkd.errors import UserError

if TYPE_CHECKING:
    from faithkd.recipes import Recipe
    from faithkd.training import Seeds, Trained


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that trains."""
    decorators: list[Any] = [
        click.option("--out", metavar="FILE", help="Where to save the network, a path that ends in .safetensors."),
        click.option("--data", metavar="NAME|FILE.npz", help="Training images  [default: the recipe's data set]"),
        data_dir_option,
        valid_range_option,
        device_option,
        click.option("--student-from", metavar="MODEL", help="Begin with this network's weights."),
        click.option("--seed", type=int, help="In place of the recipe's."),
        click.option("--seeds", type=Numbers(), help="Train once a seed, such as 0,1,2: mean and standard deviation."),
        click.option("--epochs", type=int, help="In place of the recipe's."),
        click.option(
            "--set",
            "changes",
            metavar="NAME=VALUE",
            multiple=True,
            help="Change the recipe, such as batch_size=256, settings.alpha=0.9 or adversary.steps=20.",
        ),
        click.option("--keep-epochs", type=Numbers(), default=(), help="Save these epochs too, such as 20,30."),
        click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same options."),
        import_option,
        debug_option,
    ]
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@click.command()
@click.argument("recipe", required=False)
@click.option("--list", "list_", is_flag=True, help="List the recipes that come with faithkd.")
@training_options
def train(recipe: str | None, list_: bool, **options: Any) -> None:
    """Train a teacher by RECIPE: the name of one that comes with faithkd, or a TOML file."""
    from faithkd import recipes

    if list_:
        click.echo("\n".join(recipes.names()))
        return
    if recipe is None:
        raise click.UsageError("name a RECIPE; faithkd train --list shows those that come with faithkd")
    run_training(recipes.load(recipe), (), options)


def run_training(recipe: Recipe, teachers: Sequence[str], options: dict[str, Any]) -> None:
    """Train by a recipe with the options of `training_options`, and say what came of it."""
    from faithkd import data
    from faithkd.recipes import Recipe
    from faithkd.training import total_epochs, train_seeds
    from faithkd.training import train as run

    if options["out"] is None:
        raise click.UsageError("name the file to save the network to with --out")
    if options["seed"] is not None and options["seeds"] is not None:
        raise click.UsageError("give --seed or --seeds, not both")
    out = Path(options["out"])
    if out.exists() and not options["resume"]:
        raise UserError(f"{out} exists; choose another --out, or continue with --resume")
    changed = {name: options[name] for name in ("seed", "epochs") if options[name] is not None}
    values = {**recipe.to_dict(), **changed}
    for change in options["changes"]:
        _change(values, change)
    recipe = Recipe.from_dict(values, recipe.name)
    images = data.load(
        options["data"] or recipe.dataset, "train", options["data_dir"], valid_range=options["valid_range"]
    )
    epochs = total_epochs(recipe)
    # Of the processes that torchrun starts, the first one speaks.
    first = os.environ.get("RANK", "0") == "0"
    if first:
        say(f"{recipe.name}: {recipe.method}, {epochs} epochs on {len(images)} images of {images.name}")
    given = {name: options[name] for name in ("device", "resume", "keep_epochs", "student_from")}
    try:
        with _Epochs(epochs) as bar:
            given |= {"teacher": list(teachers) or None, "progress": bar.batch, "say": say}
            if options["seeds"] is None:
                trained = run(recipe, images, out, **given)
                if first:
                    _show(trained)
            else:
                several = train_seeds(recipe, images, out, options["seeds"], **given)
                if first:
                    _show_seeds(several)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "stopped; every whole epoch is kept; continue with the same command and --resume"
        ) from None


def _change(values: dict[str, Any], change: str) -> None:
    """Take over `NAME=VALUE` with VALUE as in TOML, or a word; a name with a dot is an entry of a table."""
    from faithkd.recipes import toml

    name, equals, value = change.partition("=")
    table, dot, entry = name.strip().rpartition(".")
    if not equals or (dot and table not in ("settings", "adversary")):
        raise UserError(f"{change!r} is not a change such as batch_size=256 or settings.alpha=0.9; mend --set")
    try:
        read = toml(f"value = {value}", change)
    except UserError:
        read = {"value": value.strip()}
    if read.keys() != {"value"}:
        raise UserError(f"{change!r} is more than one change; give each with a --set of its own")
    if dot:
        values[table] = {**(values[table] or {}), entry: read["value"]}
    else:
        values[entry] = read["value"]


def _show(trained: Trained) -> None:
    for which, path, card in (("Best", trained.best, trained.card), ("Last", trained.last, trained.last_card)):
        measured = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in card.metrics.items())
        click.echo(f"{which} epoch: {path} ({measured})")


def _show_seeds(seeds: Seeds) -> None:
    for trained in seeds.runs.values():
        _show(trained)
    for which, reached in seeds.statistics.items():
        words = ", ".join(f"{name.replace('_', ' ')} {mean:.4f} ± {std:.4f}" for name, (mean, std) in reached.items())
        click.echo(f"{which.capitalize()} epochs of {len(seeds.runs)} seeds: {words}")


class _Epochs:
    """A bar on a terminal, a line an epoch elsewhere."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._started = epochs, time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._first: int | None = None

    def __enter__(self) -> _Epochs:
        if on_terminal():
            self._bar, self._task = _bar(self._epochs)
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def batch(self, epoch: int, batch: int, measured: Mapping[str, float]) -> None:
        """Called after every batch; the last of an epoch brings more than the loss."""
        words = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in measured.items() if name != "score"
        )
        whole = len(measured) > 1
        if self._bar is not None:
            self._bar.update(self._task, completed=epoch if whole else epoch - 1, words=f"batch {batch}, {words}")
        elif whole:
            if self._first is None or epoch < self._first:
                self._first, self._started = epoch, self._started if self._first is None else time.monotonic()
            spent = time.monotonic() - self._started
            left = spent / (epoch - self._first + 1) * (self._epochs - epoch)
            say(f"epoch {epoch} of {self._epochs}: {words}; {spent:.0f} s, about {left:.0f} s left")


def _bar(epochs: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("[cyan]{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(TextColumn("epoch"), *columns, TextColumn("left"), console=Console(stderr=True))
    return bar, bar.add_task("train", total=epochs, words="")
