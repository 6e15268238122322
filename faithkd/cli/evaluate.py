"""`faithkd evaluate`: clean and robust accuracy of networks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from faithkd.certification.request import radius_label
from faithkd.cli.options import Radius, data_dir_option, debug_option, device_option, say
from faithkd.errors import UserError

if TYPE_CHECKING:
    from faithkd.data import Dataset


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--data", "data_name", metavar="NAME|FILE.npz", help="Test images  [default: the first model's data set]")
@data_dir_option
@click.option("--attack", default="pgd-50", show_default=True, help="pgd-K: K steps of 2.5 eps / K.")
@click.option("--eps", type=Radius(), multiple=True, help="Radius, again for more.")
@click.option(
    "--unit", type=click.Choice(["pixel", "normalised"]), default="pixel", show_default=True, help="Of the radius."
)
@click.option("--images", type=int, help="How many, drawn with --seed  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--no-clip", is_flag=True, help="Leave regions uncut by the range of valid pixels.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
@debug_option
def evaluate(
    models: tuple[str, ...], data_name: str | None, data_dir: str | None, as_json: bool, **options: Any
) -> None:
    """Clean accuracy of each MODEL, and what an attack leaves of it at each radius.

    Robust accuracy is counted over every input that the attack meets; the last one alone is shown beside it.
    """
    from faithkd import checkpoint, data, device
    from faithkd.card import check_data

    networks = [checkpoint.load(name) for name in models]
    card: Any = networks[0].card
    if data_name is None and card.dataset is None:
        raise UserError(f"the card of {models[0]} names no data set; give --data")
    dataset = data.load(data_name or card.dataset, "test", data_dir)
    if options["images"] is not None:
        dataset = dataset.sample(options["images"], options["seed"])
    for network in networks:
        check_data(network.card, dataset)
    place = device.choose(options["device"], None if as_json else say)
    records = [
        {"model": name, **_measured(network.to(place), dataset, options)}
        for name, network in zip(models, networks, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(records, indent=2))
    else:
        _show(records, dataset, options)


def _measured(network: Any, dataset: Dataset, options: dict[str, Any]) -> dict[str, Any]:
    from faithkd import attacks, metrics

    place = next(network.parameters()).device
    images, labels = dataset.images.to(place), dataset.labels.to(place)
    scale = _scale(network.card.normalisation["std"]) if options["unit"] == "normalised" else 1.0
    robust = [
        metrics.robust_accuracy(
            network, images, labels, eps * scale, valid_range=None if options["no_clip"] else dataset.valid_range,
            attack=attacks.named(options["attack"]), seed=options["seed"],
        ).shares() for eps in options["eps"]
    ]  # fmt: skip
    return {
        "clean": metrics.accuracy(network, images, labels),
        "robust": [
            {"eps": eps, "unit": options["unit"], "attack": options["attack"], **shares}
            for eps, shares in zip(options["eps"], robust, strict=True)
        ],
    }


def _scale(std: float | list[float]) -> float:
    if isinstance(std, list):
        raise UserError("a normalised radius needs one std, but the network has one for each channel; use --unit pixel")
    return float(std)


def _show(records: list[dict[str, Any]], dataset: Dataset, options: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("model", overflow="fold")
    for heading in ("clean", *(radius_label(eps) for eps in options["eps"])):
        table.add_column(heading, justify="right", no_wrap=True)
    for record in records:
        robust = (f"{100 * entry['every']:.2f} ({100 * entry['last']:.2f})" for entry in record["robust"])
        table.add_row(record["model"], f"{100 * record['clean']:.2f}", *robust)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 110
    click.echo(f"Accuracy in % on {len(dataset)} test images of {dataset.name}.")
    if options["eps"]:
        click.echo(
            f"At a radius ({options['unit']}): under {options['attack']}, and in brackets its last iterate alone."
        )
    console.print(table)
