"""What a training run leaves: checkpoints of its best, last and kept epochs, each with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from faithkd import checkpoint
from faithkd.checkpoint import Card
from faithkd.embedded import find
from faithkd.errors import UserError
from faithkd.files import sha256
from faithkd.models import named
from faithkd.recipes import Recipe
from faithkd.training.state import State


@dataclass(frozen=True)
class Trained:
    """The files of a complete run, and the best epoch's card."""

    best: Path
    last: Path
    card: Card


@dataclass(frozen=True)
class Teacher:
    """A teacher as a student's training needs it: the network, its file's SHA-256 and its card."""

    model: nn.Module
    sha256: str
    card: Card

    @classmethod
    def load(cls, name_or_path: str | Path, device: torch.device) -> Teacher:
        """Read a checkpoint onto a device, its weights without gradients. Raises `UserError` when it cannot be read."""
        model = checkpoint.load(name_or_path)
        card = model.card
        assert isinstance(card, Card)
        return cls(model.to(device).requires_grad_(False), sha256(find(name_or_path)), card)


def save_epoch(recipe: Recipe, teacher: Teacher | None, state: State, out: Path) -> None:
    """Save the epoch that has just ended as `NAME.epoch-N.safetensors`."""
    _save(
        out.with_suffix(f".epoch-{state.epoch}.safetensors"),
        recipe,
        teacher,
        state,
        state.weights,
        state.metrics,
        state.epoch,
    )


def save_trained(recipe: Recipe, teacher: Teacher | None, state: State, out: Path) -> Trained:
    """Save the best and the last epoch of a complete run."""
    last = out.with_suffix(".last.safetensors")
    _save(last, recipe, teacher, state, state.weights, state.metrics, state.epoch)
    card = _save(out, recipe, teacher, state, state.best.weights, state.best.metrics, state.best.epoch)
    return Trained(out, last, card)


def trained_before(recipe: Recipe, teacher: Teacher | None, out: Path) -> Trained | None:
    """The outcome of a complete run, or None where there is none.

    Raises `UserError` when it is one of another recipe or teacher.
    """
    if not out.exists():
        return None
    card = checkpoint.read_card(out)
    for what, found, wanted in (
        ("recipe", card.recipe, recipe.to_dict()),
        ("teacher", card.teacher, None if teacher is None else teacher.sha256),
    ):
        if found != wanted:
            raise UserError(f"{out} was trained by another {what}; choose another place, or start without resuming")
    return Trained(out, out.with_suffix(".last.safetensors"), card)


def _save(
    path: Path,
    recipe: Recipe,
    teacher: Teacher | None,
    state: State,
    weights: Mapping[str, Tensor],
    metrics: Mapping[str, float],
    epoch: int,
) -> Card:
    model = named(recipe.architecture)
    model.load_state_dict(dict(weights))
    card = checkpoint.card_for(
        model,
        dataset=recipe.dataset,
        recipe=recipe.to_dict(),
        method=recipe.method,
        teacher=None if teacher is None else teacher.sha256,
        seed=recipe.seed,
        metrics={"epoch": epoch, "attempts": state.attempt + 1, **metrics},
    )
    checkpoint.save(path, model, card)
    return card
