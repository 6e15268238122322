"""Recipes: everything that decides how one network is trained, as a record read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from faithkd.errors import UserError


@dataclass(frozen=True)
class InnerAttack:
    """The sign-gradient steps of the training adversary.

    radius, step: in `unit`, "pixel" or "normalised" (pixel over the data set's std). cut: whether adversarial images are kept in the
    valid range of the data. growth: the share of all epochs over which the radius grows linearly from 0.
    """

    radius: float
    step: float
    steps: int
    unit: str = "pixel"
    cut: bool = True
    growth: float = 0.0

    def in_pixels(self, std: float) -> tuple[float, float]:
        """Radius and step in pixel units, for data of standard deviation `std`."""
        scale = std if self.unit == "normalised" else 1.0
        return self.radius * scale, self.step * scale


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `method` is "st" or "at" for a teacher, or the name of a distillation method."""

    name: str
    dataset: str
    architecture: str
    method: str
    epochs: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    momentum: float = 0.9
    batch_size: int = 128
    held_out: int = 5000
    seed: int = 0
    settings: Mapping[str, float] = field(default_factory=dict)
    adversary: InnerAttack | None = None
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, in the form that `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Read a recipe from plain values. Raises `UserError` for unknown, missing or impossible values."""
        recipe: Recipe = _build(cls, values, where)
        for name, least in (("epochs", 1), ("batch_size", 1), ("held_out", 1), ("seed", 0)):
            if getattr(recipe, name) < least:
                raise UserError(f"{where}: {name} must be at least {least}, but is {getattr(recipe, name)}; mend it.")
        attack = recipe.adversary
        if attack is not None and (attack.radius < 0 or attack.step < 0 or attack.steps < 1):
            raise UserError(
                f"{where}: the adversary needs radius and step of at least 0 and steps of at least 1; mend it."
            )
        if attack is not None and attack.unit not in ("pixel", "normalised"):
            raise UserError(f'{where}: the adversary\'s unit must be "pixel" or "normalised", but is "{attack.unit}".')
        return recipe


def load(name_or_path: str | Path) -> Recipe:
    """A recipe by the name of one that comes with the package, or from a TOML file.

    Raises `UserError` when there is no such recipe or it cannot be read as one.
    """
    where = str(name_or_path)
    packaged = resources.files(__name__) / f"{where}.toml"
    if where in names():
        text = packaged.read_text(encoding="utf-8")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise UserError(f'expected a recipe, but "{where}" is neither a file nor one of {", ".join(names())}.')
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the recipe {where} cannot be read ({error}); give a TOML file.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the recipe {where} is not TOML ({error}); mend the file.") from error
    return Recipe.from_dict({"name": Path(where).stem, **values}, where)


def names() -> list[str]:
    """The names of the recipes that come with the package."""
    return sorted(entry.name[:-5] for entry in resources.files(__name__).iterdir() if entry.name.endswith(".toml"))


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,),
    "Mapping[str, float]": (dict,), "InnerAttack | None": (dict, type(None)),
}  # fmt: skip


def _build(cls: type, values: Mapping[str, Any], where: str) -> Any:
    """An instance of a dataclass from plain values, each checked against its field's type."""
    known = {entry.name: entry for entry in fields(cls)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f'{where}: unknown setting "{name}"; known are {", ".join(known)}.')
        kinds = _KINDS[str(known[name].type)]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{where}: {name} must be a {known[name].type}, but is {value!r}; mend it.")
    values = dict(values)
    if isinstance(values.get("adversary"), dict):
        values["adversary"] = _build(InnerAttack, values["adversary"], f"{where}: adversary")
    missing = [
        entry.name
        for entry in known.values()
        if entry.default is MISSING and entry.default_factory is MISSING and entry.name not in values
    ]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given; add to the recipe.")
    return cls(**values)
