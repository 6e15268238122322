"""Recipes by their names and from TOML files, one upon another."""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from faithkd.errors import UserError
from faithkd.files import is_file, read_bytes
from faithkd.recipes.record import Recipe

DEEPEST = 10
"""Recipes that stand on one another."""


def for_method(dataset: str, method: str) -> Recipe:
    """The packaged recipe `DATASET-METHOD`; where there is none, `BASE` of the data set with the method's own settings in place.

    Raises `UserError` for a data set or a method that is not known.
    """
    if f"{dataset}-{method}" in names():
        return load(f"{dataset}-{method}")
    if dataset not in BASE:
        raise UserError(f"no recipe comes with faithkd for {method} on {dataset}; give one with --recipe")
    return Recipe.from_dict(_based({"name": f"{dataset}-{method}", "base": BASE[dataset], "method": method}))


BASE = {
    "mnist": "mnist-fd",
    "fashion-mnist": "fashion-mnist-fd",
    "cifar10": "cifar10-iad-1",
    "cifar100": "cifar100-iad-1",
    "tiny-imagenet": "tiny-imagenet-iad-1",
}
"""By data set, the recipe whose network, rate and adversary a method has that none of its own comes with the package for."""


LARGEST = 2**14
"""Bytes of a recipe; Python's reader takes seconds for a few times as many, written with ill will."""


def load(name_or_path: str | Path) -> Recipe:
    """A recipe by the name of one that comes with the package, from a TOML file, or for a `DATASET-METHOD` as `for_method` makes it.

    A recipe may name another as its `base` and give only what differs; its tables stand in place of the base's. Raises `UserError`
    when there is no such recipe or it cannot be read as one.
    """
    return _load(name_or_path, ())


def _load(name_or_path: str | Path, above: tuple[str, ...]) -> Recipe:
    """The recipe; above: the files whose base it is, by their real paths."""
    where = str(name_or_path)
    path = Path(name_or_path)
    if where in names():
        text = (resources.files(__package__) / f"{where}.toml").read_text(encoding="utf-8")
    elif not is_file(path):
        from faithkd.distillation import METHODS, TEACHERS

        for dataset in BASE:
            if where.startswith(f"{dataset}-") and where.removeprefix(f"{dataset}-") in METHODS | TEACHERS:
                return for_method(dataset, where.removeprefix(f"{dataset}-"))
        near = ", ".join(get_close_matches(where[:100], names(), n=5, cutoff=0))
        raise UserError(
            f'expected a recipe, but "{where[:200]}" is neither a file nor a name; the nearest names are {near}, '
            "and `faithkd train --list` prints all."
        )
    else:
        try:
            text = read_bytes(path, LARGEST).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"the recipe {where} cannot be read ({error}); give a TOML file in UTF-8.") from error
    return Recipe.from_dict(
        _based({"name": path.name.removesuffix(".toml"), **toml(text, f"the recipe {where}")}, above), where
    )


def toml(text: str, what: str) -> dict[str, Any]:
    """The values of a TOML text. Raises `UserError` when it is none; what: its name, for the message."""
    if len(text) > LARGEST:
        raise UserError(
            f"at most {LARGEST:,} bytes of TOML were expected in {what[:60]}, but there are {len(text):,}; mend it."
        )
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{what} is not TOML ({reason}); mend it.") from error


def names() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted(entry.name[:-5] for entry in resources.files(__package__).iterdir() if entry.name.endswith(".toml"))


def _based(values: dict[str, Any], above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Plain values with those of their base below them."""
    if "base" not in values:
        return values
    base_name = values["base"]
    if not isinstance(base_name, str):
        raise UserError(f"the base of a recipe must be its name or path, but is {repr(base_name)[:80]}; mend it.")
    place = os.path.realpath(base_name) if is_file(base_name) else base_name
    if place in above or len(above) == DEEPEST:
        raise UserError(
            f"the recipe {base_name[:200]} is its own base, or stands below more than {DEEPEST} others; mend the line base = ... ."
        )
    base = _load(base_name, (*above, place)).to_dict()
    if "method" in values and values["method"] != base["method"]:
        from faithkd.distillation import find_method

        base["settings"] = {}
        if find_method(str(values["method"])).adversary is None:
            base["adversary"] = None
    return {**base, "source": "", **{name: value for name, value in values.items() if name != "base"}}
