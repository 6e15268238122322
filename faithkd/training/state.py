"""The state of a training run at the end of an epoch: everything that the rest of the run depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from faithkd.errors import UserError
from faithkd.torch_files import read_sealed, save_sealed

COPIES, REST = 12, 2**26
"""How often the weights can be in a state, with what optimisers and critics gather, and bytes of all the rest."""


@dataclass
class Best:
    """The best epoch so far: its number from 1, its score and metrics on the held-out images, its weights."""

    epoch: int = 0
    score: float = -1.0
    metrics: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class State:
    """A run after `epoch` whole epochs of stage `stage` of its attempt number `attempt` (each collapse starts another).

    options: what the run was started with, by name. trained: the weights that the optimiser moves; weights: those that count, which
    differ where weights are averaged, `averager` holds how. critic: its weights and its optimiser's state. previous: what the
    stage before ended with. curves: a row an epoch. Random numbers are no part of it: they follow from seed, attempt and epoch.
    """

    options: dict[str, Any]
    attempt: int = 0
    stage: int = 0
    epoch: int = 0
    trained: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    averager: dict[str, Any] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    critic: dict[str, Any] = field(default_factory=dict)
    previous: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    best: Best = field(default_factory=Best)
    curves: list[dict[str, Any]] = field(default_factory=list)

    def next_stage(self) -> State:
        """The state that the stage after this one begins with."""
        return State(self.options, self.attempt, self.stage + 1, previous=self.weights, curves=self.curves)

    def save(self, path: Path) -> None:
        """Write the state; a kill at any moment leaves the one before or this one."""
        save_sealed(path, {**vars(self), "best": vars(self.best)})

    @classmethod
    def load(cls, path: Path, options: dict[str, Any], expected: Mapping[str, Tensor]) -> State:
        """Read a state that was written under the same options, on the CPU. expected: the weights of a network like the one in training.

        Raises `UserError` when the file is damaged or something else, or names the first option that differs.
        """
        try:
            size = sum(tensor.nbytes for tensor in expected.values())
            values = read_sealed(path, limit=COPIES * size + REST)
        except UserError as error:
            raise UserError(f"{error}; {_ANEW.format(path=path)}") from error
        if not (_has(values, _FIELDS) and _has(values["best"], _BEST)):
            raise UserError(f"{path} holds something else than the state of a training; {_ANEW.format(path=path)}")
        state = cls(**{**values, "best": Best(**values["best"])})
        for name, value in options.items():
            found = state.options.get(name)
            if type(found) is not type(value) or found != value:
                raise UserError(
                    f"the run was started with {name} {found!r} and cannot be resumed with {value!r}; give the same option, or start "
                    "without resuming"
                )
        return state

    def check(self, expected: Mapping[str, Tensor], stages: int, epochs: int, attempts: int) -> None:
        """Raise `UserError` unless it is a state of so many stages, epochs and attempts, of a network with these weights."""
        late = self.epoch > 0
        weights = [
            *((self.trained, self.weights, self.best.weights) if late else ()),
            *([self.previous] if self.stage else []),
        ]
        if not (
            0 <= self.attempt < attempts
            and 0 <= self.stage < stages
            and 0 <= self.epoch <= epochs
            and self.best.epoch <= epochs
            and all(_shapes(found) == _shapes(expected) for found in weights if found)
            and all((self.trained, self.weights, self.optimiser, self.metrics, self.curves) if late else ())
            and all(
                {"loss", "held_out_clean", "score"} <= metrics.keys() for metrics in ([self.metrics] if late else [])
            )
        ):
            raise UserError("the state to resume from is that of another network or recipe; start without resuming")


_ANEW = "remove {path} and start without resuming"


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[Any, ...]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()}


def _is_tensors(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(n, str) and isinstance(v, Tensor) for n, v in value.items())


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(n, str) and isinstance(v, int | float) for n, v in value.items())


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 10**9


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _has(value: Any, fields: Mapping[str, Callable[[Any], bool]]) -> bool:
    """Is it a dictionary with these fields and no others, each of its kind."""
    return (
        isinstance(value, dict) and value.keys() == fields.keys() and all(fits(value[n]) for n, fits in fields.items())
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "options": _is_table, "attempt": _is_count, "stage": _is_count, "epoch": _is_count, "trained": _is_tensors, "weights": _is_tensors,
    "averager": _is_table, "optimiser": _is_table, "critic": _is_table, "previous": _is_tensors, "metrics": _is_numbers, "best": _is_table,
    "curves": lambda value: isinstance(value, list) and all(map(_is_numbers, value)),
}  # fmt: skip
_BEST: dict[str, Callable[[Any], bool]] = {
    "epoch": _is_count, "score": lambda value: isinstance(value, float), "metrics": _is_numbers, "weights": _is_tensors,
}  # fmt: skip
