"""`faithkd info`: the card of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from faithkd.cli.options import console, debug_option, network_options, valid_range_option
from faithkd.text import plain, printable

if TYPE_CHECKING:
    from faithkd.card import Card


@click.command()
@click.argument("model")
@network_options
@click.option("--data", metavar="NAME|FILE.npz", help="The data that an --architecture for any data is built for.")
@valid_range_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole card as JSON, with every setting and figure.")
@debug_option
def info(model: str, as_json: bool, **said: Any) -> None:
    """Show the card of MODEL: an embedded network's name, or the path of a checkpoint or, with --architecture, of a state dict."""
    from faithkd.card import read_card
    from faithkd.embedded import find

    path = find(model)
    card = _card_of_weights(model, **said) if any(said.values()) else read_card(path)
    if as_json:
        click.echo(card.to_json())
        return
    from rich.table import Table

    from faithkd.files import sha256

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (("network", model), *_summary(card), ("SHA-256", sha256(path))):
        table.add_row(name, printable(value))
    shown = console(100)
    shown.print(table)
    if hidden := sum(map(_count, card.metrics.values())):
        command = printable(f"faithkd info {model} --json")
        shown.print(f"{hidden} recorded figures and every setting: {command}", style="dim")


def _card_of_weights(model: str, data: str | None, valid_range: tuple[float, float] | None, **said: Any) -> Card:
    """The card that a state dict gets when it is read."""
    from faithkd.checkpoint import Said, load_all
    from faithkd.data import load
    from faithkd.data.catalogue import PUBLISHED

    facts = data if data is None or data.removesuffix("-sample") in PUBLISHED else load(data, valid_range=valid_range)
    (network,) = load_all([model], Said(**said, dataset=facts))
    return network.card


def _summary(card: Card) -> list[tuple[str, str]]:
    """What one wants to know of a network first, named; nothing where the card is silent."""
    arguments = {name: value for name, value in card.architecture["arguments"].items() if name != "input_shape"}
    mean, std = (_value(card.normalisation[name]) for name in ("mean", "std"))
    numbers = {name: value for name, value in card.metrics.items() if not isinstance(value, dict | list)}
    rows = [
        ("architecture", f"{card.architecture['name']}, {_named(arguments)}" if arguments else card.architecture["name"]),
        ("input", f"{' x '.join(map(str, card.input_shape))}, pixels in [0, 1] with mean {mean}, std {std}"),
        ("classes", str(card.classes)),
        ("data set", card.dataset),
        ("trained by", _training(card)),
        ("source", card.recipe.get("source") if isinstance(card.recipe, dict) else None),
        ("teacher", ", ".join(map(_value, [card.teacher] if isinstance(card.teacher, str) else card.teacher or ()))),
        ("figures", _named(numbers)),
        ("written by", _named(card.versions)),
    ]  # fmt: skip
    return [(name, _value(value)) for name, value in rows if value]


def _training(card: Card) -> str:
    recipe = card.recipe if isinstance(card.recipe, dict) else {"name": card.recipe}
    epochs = f"{recipe['epochs']} epochs" if "epochs" in recipe else None
    seed = None if card.seed is None else f"seed {card.seed}"
    name = f"recipe {recipe['name']}" if recipe.get("name") else None
    return ", ".join(part for part in (card.method, name, epochs, seed) if part)


def _named(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return plain(value, " ", "{:.4g}".format)


def _count(metric: Any) -> int:
    """Numbers inside a metric that the summary leaves out: those of a nested one."""
    if not isinstance(metric, dict | list):
        return 0
    return sum(_count(value) or 1 for value in (metric.values() if isinstance(metric, dict) else metric))
