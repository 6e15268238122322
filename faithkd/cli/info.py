"""`faithkd info`: the card of a network."""

from __future__ import annotations

import json
from typing import Any

import click

from faithkd.cli.options import debug_option


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print the card as JSON.")
@debug_option
def info(model: str, as_json: bool) -> None:
    """Show the card of MODEL: an embedded network's name, or the path of a checkpoint."""
    from faithkd.card import read_card
    from faithkd.embedded import find

    path = find(model)
    card = read_card(path)
    if as_json:
        click.echo(card.to_json())
        return
    from rich.console import Console
    from rich.table import Table

    from faithkd.files import sha256

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (("name", model), *_rows(json.loads(card.to_json())), ("SHA-256", sha256(path))):
        table.add_row(name, value)
    console = Console(highlight=False)
    console.width = max(console.width, 100)
    console.print(table)


def _rows(card: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every value with its name, the names of nested ones joined."""
    rows = []
    for name, value in card.items():
        if value is None or value == {}:
            continue
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{name} ")
        else:
            rows.append((prefix + name.replace("_", " "), value if isinstance(value, str) else json.dumps(value)))
    return rows
