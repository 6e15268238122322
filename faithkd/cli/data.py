"""`faithkd data`: which data sets there are, where they are, and how to get them."""

from __future__ import annotations

import click

from faithkd.cli.options import console, data_dir_option, debug_option, tell
from faithkd.errors import UserError
from faithkd.text import printable


@click.group()
def data() -> None:
    """List, find and download data sets."""


@data.command(name="list")
@data_dir_option
@debug_option
def list_(data_dir: str | None) -> None:
    """Every data set that is known by name, and whether it is on this machine."""
    from rich.table import Table

    from faithkd.data.catalogue import PUBLISHED
    from faithkd.data.lookup import where
    from faithkd.embedded import SAMPLES

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "training images", "test images", "place"):
        table.add_column(heading, justify="right" if heading.endswith("images") else "left")
    for name, published in PUBLISHED.items():
        folder = where(name, data_dir=data_dir)
        sizes = (f"{published.sizes[split]:,}" for split in ("train", "test"))
        table.add_row(name, *sizes, printable(str(folder)) if folder else f"not here; faithkd data fetch {name}")
    for name in SAMPLES:
        table.add_row(name, "2,000", "1,000", "comes with faithkd")
    console(110).print(table)


@data.command()
@click.argument("name")
@data_dir_option
@debug_option
def fetch(name: str, data_dir: str | None) -> None:
    """Download what is missing of a data set, checked by SHA-256."""
    from faithkd.data.download import fetch as download
    from faithkd.data.lookup import where as find

    folder = find(name, data_dir=data_dir) or download(name, data_dir)
    tell(f"{name} is in {folder}")


@data.command()
@click.argument("name")
@data_dir_option
@debug_option
def where(name: str, data_dir: str | None) -> None:
    """The folder that holds a data set."""
    from faithkd.data.lookup import where as find

    folder = find(name, data_dir=data_dir)
    if folder is None:
        raise UserError(f"{name} is not on this machine; download it with faithkd data fetch {name}")
    tell(str(folder))
