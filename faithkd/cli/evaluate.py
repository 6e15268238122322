"""`faithkd evaluate`: what attacks leave of networks, their calibration, and students beside their teacher."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from faithkd.cli.options import (
    Radius,
    console,
    data_dir_option,
    debug_option,
    device_option,
    network_options,
    on_terminal,
    say,
    tell,
    valid_range_option,
)  # fmt: skip
from faithkd.errors import UserError

if TYPE_CHECKING:
    from faithkd.data import Dataset
    from faithkd.evaluation.records import Subject
    from faithkd.evaluation.setting import Setting
    from faithkd.pages.content import Table


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--data", "data_name", metavar="NAME|FILE.npz", help="Test images  [default: the first model's data set]")
@data_dir_option
@valid_range_option
@click.option(
    "--attack", "attacks", multiple=True, default=("pgd-50",), show_default="pgd-50", metavar="NAME",
    help="pgd-K (K steps of 2.5 eps / K), fgsm, fgsm-rs, pgd-sat, pgd-trades, cw-linf, autoattack or random-search-K; again for more.",
)  # fmt: skip
@click.option("--eps", type=Radius(), multiple=True, help="Radius, again for more.")
@click.option(
    "--unit", type=click.Choice(["pixel", "normalised"]), default="pixel", show_default=True, help="Of the radius."
)
@click.option("--teacher", metavar="MODEL", help="Also set each MODEL beside this teacher.")
@click.option("--images", type=int, help="How many, drawn with --seed  [default: all]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--no-clip", is_flag=True, help="Leave regions uncut by the range of valid pixels.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=500, show_default=True, metavar="N", help="Images at a time."
)
@network_options
@device_option
@click.option(
    "--out", type=click.Path(file_okay=False), metavar="FOLDER", help="Write evaluation.json and evaluation.html."
)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@debug_option
def evaluate(
    models: tuple[str, ...], data_name: str | None, data_dir: str | None, as_json: bool, **options: Any
) -> None:
    """Clean accuracy of each MODEL, and what attacks leave of it at each radius.

    Robust accuracy is counted over every input that the attack meets; the last one alone is shown beside it. Warns when a model
    looks wrong: softmax outputs, zero gradients, randomness, a black-box attack that beats the others.
    """
    from faithkd import data, device
    from faithkd.attacks import named
    from faithkd.card import check_data
    from faithkd.checkpoint import Said, load_all
    from faithkd.evaluation import Setting, records
    from faithkd.pages import write_evaluation
    from faithkd.runs.environment import environment

    for name in options["attacks"]:
        named(name)
    teacher_name = options["teacher"]
    dataset = None if data_name is None else data.load(data_name, "test", data_dir, valid_range=options["valid_range"])
    said = Said(options["architecture"], options["mean"], options["std"], dataset)
    names = dict.fromkeys([*models, *([teacher_name] if teacher_name else [])])
    read = dict(zip(names, load_all(list(names), said), strict=True))
    networks, teacher = {name: read[name] for name in models}, read.get(teacher_name)
    if dataset is None:
        card = read[models[0]].card
        if card.dataset is None:
            raise UserError(f"the card of {models[0]} names no data set; give --data")
        dataset = data.load(card.dataset, "test", data_dir, valid_range=options["valid_range"])
    if options["images"] is not None:
        dataset = dataset.sample(options["images"], options["seed"])
    for network in read.values():
        check_data(network.card, dataset)
    place = device.choose(options["device"], None if as_json else say)
    setting = Setting(
        tuple(dict.fromkeys(options["attacks"])), tuple(dict.fromkeys(options["eps"])), options["unit"],
        clip=not options["no_clip"], seed=options["seed"], batch=options["batch"],
    )  # fmt: skip
    subjects = [_subject(name, network.to(place), dataset, setting) for name, network in networks.items()]
    if teacher is not None:
        teacher.to(place)
        subjects = [
            subject if network is teacher else _beside(subject, (teacher_name, teacher), network, dataset, setting)
            for subject, network in zip(subjects, networks.values(), strict=True)
        ]
    if options["out"]:
        page = write_evaluation(options["out"], subjects, dataset, setting, environment(place.type))
    if as_json:
        found = [record for subject in subjects for record in records(subject, dataset, setting)]
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _show(subjects, dataset, setting)
    if options["out"]:
        say(f"Written to {page.parent}: {page.name} and the records")
    for subject in subjects:
        for warning in subject.evaluation.warnings:
            say(f"Warning: {subject.name}: {warning}.")


def _subject(name: str, network: Any, dataset: Dataset, setting: Setting) -> Subject:
    from faithkd.checkpoint import find, sha256
    from faithkd.evaluation import evaluate as measured
    from faithkd.evaluation.records import Subject

    def told(line: str) -> None:
        if on_terminal():
            say(f"{name}: {line}")

    network.requires_grad_(False)
    found = measured(network, dataset, setting, network.std, told)
    return Subject(name, network.card, sha256(find(name)), found)


def _beside(subject: Subject, teacher: tuple[str, Any], student: Any, dataset: Dataset, setting: Setting) -> Subject:
    from faithkd.evaluation import beside

    name, network = teacher
    pair = beside(network.requires_grad_(False), student, dataset, setting, network.std)
    return replace(subject, beside=pair, teacher=name)


def _show(subjects: list[Subject], dataset: Dataset, setting: Setting) -> None:
    from faithkd.pages.evaluations.tables import accuracy_table, pair_table

    tell(f"Accuracy in % on {len(dataset)} {dataset.split} images of {dataset.name}.")
    if setting.eps:
        tell(f"At a radius ({setting.unit}): over every input that the attack meets, and in brackets the last alone.")
    _print(accuracy_table(subjects, setting))
    pairs = pair_table(subjects, setting)
    if pairs.rows:
        tell("Beside the teacher, searched and estimated; none of it is a certificate.")
        _print(pairs, without="cases")


def _print(table: Table, without: str = "") -> None:
    from faithkd.pages.terminal import terminal_table

    shown = console()
    shown.print(terminal_table(table, shown.width, without))
