"""`faithkd train`: a teacher by a recipe; and what it shares with `distill`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faithkd.cli.options import Numbers, data_dir_option, debug_option, device_option, on_terminal, say
from faithkd.errors import UserError

if TYPE_CHECKING:
    from faithkd.recipes import Recipe
    from faithkd.training import Trained


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that trains."""
    decorators: list[Any] = [
        click.option("--out", metavar="FILE", help="Where to save the network, a path that ends in .safetensors."),
        click.option("--data", metavar="NAME|FILE.npz", help="Training images  [default: the recipe's data set]"),
        data_dir_option,
        device_option,
        click.option("--seed", type=int, help="In place of the recipe's."),
        click.option("--epochs", type=int, help="In place of the recipe's."),
        click.option("--keep-epochs", type=Numbers(), default=(), help="Save these epochs too, such as 20,30."),
        click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same options."),
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
    run_training(recipes.load(recipe), None, options)


def run_training(recipe: Recipe, teacher: str | None, options: dict[str, Any]) -> None:
    """Train by a recipe with the options of `training_options`, and say what came of it."""
    from faithkd import data
    from faithkd.recipes import Recipe
    from faithkd.training import train as run

    if options["out"] is None:
        raise click.UsageError("name the file to save the network to with --out")
    out = Path(options["out"])
    if out.exists() and not options["resume"]:
        raise UserError(f"{out} exists; choose another --out, or continue with --resume")
    changed = {name: options[name] for name in ("seed", "epochs") if options[name] is not None}
    recipe = Recipe.from_dict(replace(recipe, **changed).to_dict(), recipe.name)
    images = data.load(options["data"] or recipe.dataset, "train", options["data_dir"])
    say(f"{recipe.name}: {recipe.method}, {recipe.epochs} epochs on {len(images)} images of {images.name}")
    try:
        with _Epochs(recipe.epochs) as epochs:
            trained = run(
                recipe, images, out, teacher=teacher, device=options["device"], resume=options["resume"],
                keep_epochs=options["keep_epochs"], progress=epochs.batch, say=say,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "stopped; every whole epoch is kept; continue with the same command and --resume"
        ) from None
    _show(trained)


def _show(trained: Trained) -> None:
    measured = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in trained.card.metrics.items())
    click.echo(f"Best epoch: {trained.best} ({measured})\nLast epoch: {trained.last}")


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
            self._first = epoch if self._first is None else self._first
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
