"""The networks of a study: those that come with the package, those of a folder, or trained here by the package's recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faithkd
from faithkd import recipes
from faithkd.card import read_own_card
from faithkd.embedded import find
from faithkd.errors import UserError
from faithkd.files import sha256
from faithkd.recipes import Recipe
from faithkd.study.folder import NETWORKS
from faithkd.study.plan import Plan
from faithkd.study.pool import Task, in_processes
from faithkd.study.records import Network

Say = Callable[[str], None]


def resolve(plan: Plan, folder: Path, workers: int, say: Say) -> dict[str, str]:
    """The name or path of the teacher and of each student, as `faithkd.load` takes it; trained first where the plan says so.

    A network that is there already by the same recipe and seed is not trained again. Raises `UserError` for a missing file.
    """
    names = ("teacher", *plan.students)
    if plan.networks == "embedded":
        return {name: f"{plan.dataset}-{name}" for name in names}
    place = folder / NETWORKS if plan.networks == "trained" else Path(plan.networks)
    paths = {name: place / f"{plan.dataset}-{name}.safetensors" for name in names}
    if plan.networks == "trained":
        say(f"Training the networks of {plan.dataset}: the teacher, then {len(plan.students)} students")
        in_processes([Task("teacher", _train, (plan, "teacher", paths))], 1, say)
        # Those that take longest first, so that the processes end together.
        in_processes([Task(name, _train, (plan, name, paths)) for name in reversed(plan.students)], workers, say)
    for name, path in paths.items():
        if not path.is_file():
            raise UserError(f"the {name} is missing: there is no {path}; put it there, or leave --networks out")
    return {name: str(path) for name, path in paths.items()}


def describe(names: dict[str, str], std: float) -> dict[str, Network]:
    """What is known of each network: its file's SHA-256, size, seed, and whether it was trained by the package's recipe as it is.

    std: of the data set, which a normalised radius means. Raises `UserError` for a network that is normalised otherwise.
    """
    return {name: _described(name, source, std) for name, source in names.items()}


def _described(name: str, source: str, std: float) -> Network:
    path = find(source)
    card = read_own_card(path, f"the {name} of a study")
    if card.normalisation["std"] != std:
        raise UserError(
            f"the radii of a study are in units of the data's std, {std:g}, but the {name} ({path}) is normalised with "
            f"{card.normalisation['std']}; give networks that were trained with the data's own"
        )
    hidden = card.architecture["arguments"].get("hidden", [])
    return Network(
        source=source,
        sha256=sha256(path),
        hidden=tuple(hidden),
        parameters=sum(weight.numel() for weight in faithkd.load(path).parameters()),
        method=card.method,
        seed=card.seed,
        recipe=_recipe(card.recipe),
    )


def _recipe(made_by: Any) -> str:
    """`as packaged` where recipe and seed are those that come with this version."""
    if not isinstance(made_by, dict) or made_by.get("name") not in recipes.names():
        return "another"
    try:
        same = Recipe.from_dict(made_by) == recipes.load(made_by["name"])
    except UserError:
        same = False
    return "as packaged" if same else f"{made_by['name']}, changed"


def _train(plan: Plan, name: str, paths: dict[str, Path]) -> None:
    """Train one network, or take it up where it was left."""
    import torch

    from faithkd import data
    from faithkd.training import train

    torch.set_num_threads(1)
    train(
        recipes.load(f"{plan.dataset}-{name}"), data.load(plan.dataset, "train", plan.data_dir), paths[name],
        teacher=None if name == "teacher" else paths["teacher"], device=plan.device, resume=True,
    )  # fmt: skip
