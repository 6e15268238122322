"""`faithkd distill`: a student from a teacher."""

from __future__ import annotations

from typing import Any

import click

from faithkd.cli.train import run_training, training_options
from faithkd.errors import UserError


@click.command()
@click.argument("method", required=False)
@click.option("--teacher", metavar="MODEL", help="An embedded network's name or a checkpoint.")
@click.option(
    "--recipe", metavar="NAME|FILE", help="The settings  [default: the paper's for the teacher's data set and METHOD]"
)
@click.option("--list", "list_", is_flag=True, help="List the methods.")
@training_options
def distill(method: str | None, teacher: str | None, recipe: str | None, list_: bool, **options: Any) -> None:
    """Train a student from a teacher by METHOD, such as sd, ard, rslad or fd."""
    from faithkd import recipes
    from faithkd.card import read_card
    from faithkd.distillation import METHODS
    from faithkd.embedded import find

    if list_:
        click.echo("\n".join(f"{name:8} {known.citation}" for name, known in METHODS.items()))
        return
    if method is None or teacher is None:
        raise click.UsageError("name a METHOD and a --teacher; faithkd distill --list shows the methods")
    if method not in METHODS:
        raise UserError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    chosen = recipes.load(recipe or f"{read_card(find(teacher)).dataset}-{method}")
    if chosen.method != method:
        raise UserError(
            f"the recipe {chosen.name} is for the method {chosen.method}, not {method}; choose another --recipe"
        )
    run_training(chosen, teacher, options)
