"""`faithkd distill`: a student from a teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from faithkd.cli.train import run_training, training_options
from faithkd.errors import UserError


@click.command()
@click.argument("method", required=False)
@click.option(
    "--teacher",
    "teachers",
    metavar="MODEL",
    multiple=True,
    help="An embedded network's name or a checkpoint; repeat it for methods of several teachers, a robust one first.",
)
@click.option("--weights", metavar="B,B,...", help="Of an ensemble's teachers, in their order  [default: equal ones]")
@click.option(
    "--recipe", metavar="NAME|FILE", help="The settings  [default: the paper's for the teacher's data set and METHOD]"
)
@click.option("--list", "list_", is_flag=True, help="List the methods.")
@training_options
def distill(
    method: str | None,
    teachers: tuple[str, ...],
    weights: str | None,
    recipe: str | None,
    list_: bool,
    **options: Any,
) -> None:
    """Train a student from a teacher by METHOD, such as sd, ard, rslad or fd."""
    from faithkd import recipes
    from faithkd.card import read_own_card
    from faithkd.distillation import METHODS

    if list_:
        for name, known in METHODS.items():
            click.echo(f"{name:12} {known.summary}: {known.citation}")
        return
    if method is None:
        raise click.UsageError("name a METHOD and a --teacher; faithkd distill --list shows the methods")
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    if recipe is not None:
        chosen = recipes.load(recipe)
    elif teachers:
        chosen = recipes.for_method(str(read_own_card(teachers[0], "a teacher").dataset), method)
    else:
        raise click.UsageError(f"name a --teacher for {method}, or a --recipe")
    if chosen.method != method:
        raise UserError(
            f"the recipe {chosen.name} is for the method {chosen.method}, not {method}; choose another --recipe"
        )
    if weights is not None:
        chosen = replace(chosen, settings={**chosen.settings, "weights": _numbers(weights)})
    run_training(chosen, teachers, options)


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise UserError(f"the weights {words} are not numbers; give one a teacher, such as 0.5,0.5") from error
