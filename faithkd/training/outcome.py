"""What a training run leaves: checkpoints of its best, last and kept epochs, each with its card, and its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from faithkd import checkpoint
from faithkd.card import read_own_card
from faithkd.checkpoint import Card
from faithkd.embedded import find
from faithkd.errors import UserError
from faithkd.files import atomic, sha256
from faithkd.recipes import Recipe
from faithkd.training.plan import Plan
from faithkd.training.state import State


@dataclass(frozen=True)
class Trained:
    """The files of a complete run, and the cards of its best and its last epoch."""

    best: Path
    last: Path
    card: Card
    last_card: Card


@dataclass(frozen=True)
class Teacher:
    """A teacher as a student's training needs it: the network, its file's SHA-256 and its card."""

    model: nn.Module
    sha256: str
    card: Card

    @classmethod
    def load(cls, name_or_path: str | Path, device: torch.device) -> Teacher:
        """Read a checkpoint onto a device, its weights without gradients. Raises `UserError` when it cannot be read."""
        card = read_own_card(name_or_path, "a teacher")
        model = checkpoint.load(name_or_path)
        return cls(model.to(device).requires_grad_(False), sha256(find(name_or_path)), card)


@dataclass(frozen=True)
class Ancestors:
    """The SHA-256 of the networks that a student comes from: its teachers, and the one that its weights began as."""

    teachers: tuple[str, ...]
    student_from: str | None

    @property
    def on_card(self) -> str | list[str] | None:
        """The teachers as a card has them: none, one or a list."""
        return list(self.teachers) if len(self.teachers) > 1 else self.teachers[0] if self.teachers else None


def save_epoch(plan: Plan, ancestors: Ancestors, state: State, out: Path, name: str) -> None:
    """Save the epoch that has just ended as `OUT.NAME.safetensors`."""
    _save(out.with_suffix(f".{name}.safetensors"), plan, ancestors, state, last_of(state))


def save_trained(plan: Plan, ancestors: Ancestors, state: State, out: Path) -> None:
    """Save the curves and the best and the last epoch of a complete run."""
    with atomic(out.with_suffix(".curves.json")) as file:
        content = {"recipe": plan.recipe.name, "attempts": state.attempt + 1, "epochs": state.curves}
        file.write((json.dumps(content, indent=1) + "\n").encode())
    _save(out.with_suffix(".last.safetensors"), plan, ancestors, state, last_of(state))
    _save(out, plan, ancestors, state, (state.best.weights, {"epoch": state.best.epoch, **state.best.metrics}))


def trained_before(recipe: Recipe, ancestors: Ancestors, out: Path) -> Trained | None:
    """The outcome of a complete run, or None where there is none.

    Raises `UserError` when it is one of another recipe, teacher or first student.
    """
    if not out.exists():
        return None
    card = read_own_card(out, "the network that was trained before")
    for what, same in (
        ("recipe", recipe.same(card.recipe)),
        ("teacher", card.teacher == ancestors.on_card),
        ("student", card.student_from == ancestors.student_from),
    ):
        if not same:
            raise UserError(f"{out} was trained by another {what}; choose another place, or start without resuming")
    last = out.with_suffix(".last.safetensors")
    return Trained(out, last, card, read_own_card(last, "the last epoch of what was trained before"))


Epoch = tuple[Mapping[str, Tensor], Mapping[str, float]]


def last_of(state: State) -> Epoch:
    """Weights and metrics of the epoch that has just ended."""
    return state.weights, {"epoch": state.epoch, **state.metrics}


def _save(path: Path, plan: Plan, ancestors: Ancestors, state: State, epoch: Epoch) -> None:
    weights, metrics = epoch
    network = plan.network(0)
    network.load_state_dict(dict(weights))
    card = plan.card(
        network,
        teacher=ancestors.on_card,
        student_from=ancestors.student_from,
        metrics={
            "epoch": metrics["epoch"],
            **({"loop": plan.loop(state.stage)} if plan.method.loops else {}),
            "attempts": state.attempt + 1,
            **metrics,
        },
    )
    checkpoint.save(path, network, card)
