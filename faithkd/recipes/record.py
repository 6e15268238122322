"""What a recipe is: a record of everything that decides how one network is trained, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from faithkd.errors import UserError


@dataclass(frozen=True)
class InnerAttack:
    """The sign-gradient steps of the training adversary.

    radius, step: in `unit`, "pixel" or "normalised" (pixel over the data set's std). cut: whether adversarial images are kept in the
    valid range of the data. growth: the share of all epochs over which the radius grows linearly from 0. attack_mode: "eval" or
    "train", the mode of the student while it is attacked; its running statistics are left alone either way. start, teacher_input:
    in place of the method's own, see `faithkd.distillation.Adversary`.
    """

    radius: float
    step: float
    steps: int
    unit: str = "pixel"
    cut: bool = True
    growth: float = 0.0
    attack_mode: str = "eval"
    start: str | None = None
    teacher_input: str | None = None

    def in_pixels(self, std: float | Sequence[float]) -> tuple[float, float]:
        """Radius and step in pixel units, for data of standard deviation `std`. Raises `UserError` for one std a channel."""
        if self.unit == "pixel":
            return self.radius, self.step
        if not isinstance(std, float):
            raise UserError("the data's std differs by channel; give the adversary's radius and step in pixel units")
        return self.radius * std, self.step * std


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    schedule: how the rate moves, see `faithkd.training.schedules`; milestones, factor: of "step" and "exponential". settings: of
    the method. dropout: share of the last layer's inputs that are dropped in training. weight_perturbation: gamma of AWP, 0 for none.
    averaging: weight of the old average when weights are averaged after every step, 0 for none. augment: random crops and flips.
    amp, channels_last, compile: bfloat16 autocast, memory format and `torch.compile`, on CUDA only.
    """

    name: str
    dataset: str
    architecture: str
    method: str
    epochs: int
    learning_rate: float
    weight_decay: float
    final_learning_rate: float = 0.0
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    momentum: float = 0.9
    batch_size: int = 128
    held_out: int = 5000
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    adversary: InnerAttack | None = None
    dropout: float = 0.0
    weight_perturbation: float = 0.0
    averaging: float = 0.0
    augment: bool = False
    amp: bool = False
    channels_last: bool = False
    compile: bool = False
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, in the form that `from_dict` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """Read a recipe from plain values. Raises `UserError` for unknown, missing or impossible values."""
        recipe: Recipe = _build(cls, values, where)
        _check_ranges(where, recipe, _RANGES)
        _check_choice(where, "schedule", recipe.schedule)
        for name, value in recipe.settings.items():
            if not all(isinstance(entry, _PLAIN) and _is_sensible(entry) for entry in _entries(value)):
                raise UserError(
                    f"{where}: settings.{name} must be a number, a word or a list of them, but is {_short(value)}; mend it."
                )
        attack = recipe.adversary
        if attack is None:
            return recipe
        _check_ranges(f"{where}: adversary", attack, _ATTACK_RANGES)
        for name in ("unit", "attack_mode", "start", "teacher_input"):
            if getattr(attack, name) is not None:
                _check_choice(where, name, getattr(attack, name))
        return recipe

    def same(self, values: Mapping[str, Any] | str | None) -> bool:
        """Whether plain values, of a card say, mean this recipe; what they lack has its default."""
        try:
            plain = Recipe.from_dict(json.loads(json.dumps(self.to_dict())))
            return isinstance(values, Mapping) and Recipe.from_dict(values) == plain
        except UserError:
            return False


MOST = 2**63
"""Beyond any number in a recipe."""
_RANGES = {
    "epochs": (1, 10**6),
    "learning_rate": (0, 10**6),
    "final_learning_rate": (0, 10**6),
    "weight_decay": (0, 10**6),
    "momentum": (0, 1),
    "factor": (0, 10**6),
    "batch_size": (1, 10**9),
    "held_out": (1, 10**9),
    "seed": (0, 2**63 - 1),
    "dropout": (0, 0.99),
    "weight_perturbation": (0, 1),
    "averaging": (0, 1),
}
_ATTACK_RANGES = {"radius": (0, 10**6), "step": (0, 10**6), "steps": (1, 10**6), "growth": (0, 1)}
_CHOICES = {
    "schedule": ("cosine", "one-cycle", "cyclic", "step", "exponential"),
    "unit": ("pixel", "normalised"),
    "attack_mode": ("eval", "train"),
    "start": ("uniform", "normal", "image"),
    "teacher_input": ("clean", "adversarial"),
}


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "tuple[int, ...]": (list, tuple),
    "str | None": (str, type(None)), "Mapping[str, Any]": (dict,), "InnerAttack | None": (dict, type(None)),
}  # fmt: skip


def _build(cls: type, values: Mapping[str, Any], where: str) -> Any:
    """An instance of a dataclass from plain values, each checked against its field's type."""
    known = {entry.name: entry for entry in fields(cls)}
    for name, value in values.items():
        if name not in known:
            raise UserError(f'{where}: unknown setting "{name[:60]}"; known are {", ".join(known)}.')
        kind = str(known[name].type)
        whole = kind != "tuple[int, ...]" or (isinstance(value, list | tuple) and all(type(v) is int for v in value))
        if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool") or not whole:
            raise UserError(f"{where}: {name} must be a {kind}, but is {_short(value)}; mend it.")
        if not all(map(_is_sensible, _entries(value))):
            raise UserError(f"{where}: {name} must be a finite number, but is {_short(value)}; mend it.")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
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


_PLAIN = (bool, int, float, str)


def _entries(value: Any) -> Sequence[Any]:
    """What a list holds, or the one value."""
    return value if isinstance(value, list | tuple) else (value,)


def _is_sensible(value: Any) -> bool:
    """Is it a finite number of a size that computers reckon with, or no number at all."""
    return not isinstance(value, int | float) or abs(value) < MOST


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:80]}..."


def _check_ranges(where: str, record: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (least, most) in ranges.items():
        value = getattr(record, name)
        if not least <= value <= most:
            raise UserError(f"{where}: {name} must be from {least:g} to {most:g}, but is {value}; mend it.")


def _check_choice(where: str, name: str, value: str) -> None:
    if value not in _CHOICES[name]:
        raise UserError(f"{where}: {name} must be one of {', '.join(_CHOICES[name])}, but is {_short(value)}; mend it.")
