"""The training loop: epochs over the images in memory, the best epoch by held-out images, resumable after every epoch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faithkd import device as devices
from faithkd import distillation
from faithkd.checkpoint import card_for, compatible
from faithkd.data.catalogue import PUBLISHED
from faithkd.data.records import Dataset
from faithkd.distillation.method import Method
from faithkd.embedded import SAMPLES
from faithkd.errors import UserError
from faithkd.models import named
from faithkd.recipes import Recipe
from faithkd.training import teachers
from faithkd.training.epoch import Images, Progress, Run
from faithkd.training.outcome import Teacher, Trained, save_epoch, save_trained, trained_before
from faithkd.training.state import State

ATTEMPTS = 6
Say = Callable[[str], None]


def train(
    recipe: Recipe,
    data: Dataset,
    out: str | Path,
    *,
    teacher: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    keep_epochs: Sequence[int] = (),
    progress: Progress | None = None,
    say: Say = lambda message: None,
) -> Trained:
    """Train one network by a recipe and save its best epoch to `out`, its last beside it.

    data: the training split. out: a path that ends in .safetensors; `NAME.last.safetensors` and, for each of `keep_epochs` (numbers
    from 1), `NAME.epoch-N.safetensors` are written beside it, and `NAME.state` until the run is complete. teacher: an
    embedded network's name or a checkpoint. resume: go on from `NAME.state` where there is one; the result is the same, bit by
    bit, as without the interruption. progress: called after every batch with epoch and batch (from 1) and the loss, after an
    epoch's last batch with the held-out accuracies too. say: told of restarts and of a fall back to the CPU.

    Raises `UserError` when the recipe, the data and the teacher do not fit together, a resumed run differs, or every one of six
    attempts stays at chance level.
    """
    out = Path(out)
    place = devices.choose(device, say)
    imitated = None if teacher is None else Teacher.load(teacher, place)
    method = find_method(recipe)
    _check(recipe, data, method, imitated)
    if out.suffix != ".safetensors":
        raise UserError(f"the trained network is saved as .safetensors, but {out} ends otherwise; give such a path")
    if any(not 1 <= epoch <= recipe.epochs for epoch in keep_epochs):
        raise UserError(
            f"the epochs to keep must be from 1 to {recipe.epochs}, but are {', '.join(map(str, keep_epochs))}"
        )
    options = {
        **_flat(recipe.to_dict()),
        "teacher (SHA-256)": None if imitated is None else imitated.sha256,
        "images (SHA-256)": _fingerprint(data),
        "device": place.type,
        "keep-epochs": sorted(keep_epochs),
    }
    path = out.with_suffix(".state")
    if resume and not path.exists():
        finished = trained_before(recipe, imitated, out)
        if finished is not None:
            return finished
    state = State.load(path, options) if resume and path.exists() else State(options)
    images = Images.split(data, recipe.held_out, place)
    while state.epoch < recipe.epochs:
        # Every epoch is taken up from the state alone, so an interrupted run cannot differ from another.
        Run(recipe, method, None if imitated is None else imitated.model, images, state, progress).epoch()
        if _collapsed(state, recipe, images):
            state = _restarted(state, recipe, say)
        elif state.epoch in keep_epochs:
            save_epoch(recipe, imitated, state, out)
        state.save(path)
    trained = save_trained(recipe, imitated, state, out)
    path.unlink(missing_ok=True)
    return trained


def find_method(recipe: Recipe) -> Method:
    """The training method that a recipe names. Raises `UserError` when there is none."""
    methods = teachers.METHODS | distillation.METHODS
    if recipe.method not in methods:
        raise UserError(f"unknown method {recipe.method!r} in the recipe {recipe.name}; known are {', '.join(methods)}")
    return methods[recipe.method]


def _collapsed(state: State, recipe: Recipe, images: Images) -> bool:
    """After the first tenth of the epochs: at chance level, or no longer finite."""
    if not math.isfinite(state.metrics["loss"]):
        return True
    return state.epoch >= recipe.epochs / 10 and state.metrics["held_out_clean"] < 1.5 * images.chance


def _restarted(state: State, recipe: Recipe, say: Say) -> State:
    """The state that the next attempt begins with."""
    accuracy = 100 * state.metrics["held_out_clean"]
    found = f"the training collapsed: {accuracy:.1f} % of the held-out images are right after epoch {state.epoch}"
    if state.attempt + 1 == ATTEMPTS:
        raise UserError(
            f"{found}, in the last of {ATTEMPTS} attempts; lower the rate or the radius, or let the radius grow"
        )
    say(f"{found}; starting again with other random numbers (attempt {state.attempt + 2} of {ATTEMPTS})")
    return State(state.options, attempt=state.attempt + 1)


def _check(recipe: Recipe, data: Dataset, method: Method, teacher: Teacher | None) -> None:
    if data.name in (*PUBLISHED, *SAMPLES) and SAMPLES.get(data.name, data.name) != recipe.dataset:
        raise UserError(
            f"the recipe {recipe.name} is for {recipe.dataset}, but the images are from {data.name}; give matching ones"
        )
    if recipe.dataset not in PUBLISHED:
        raise UserError(
            f"unknown data set {recipe.dataset!r} in the recipe {recipe.name}; known are {', '.join(PUBLISHED)}"
        )
    student = named(recipe.architecture)
    if data.image_shape != student.input_shape or data.classes != student.classes:
        raise UserError(
            f"{recipe.architecture} reads images of shape {student.input_shape} in {student.classes} classes, but {data.name} has "
            f"{data.image_shape} and {data.classes}; give other data"
        )
    if teacher is not None:
        compatible(teacher.card, card_for(student, dataset=recipe.dataset))
    if method.needs_teacher and teacher is None:
        raise UserError(f"the method {method.name} needs a teacher; give one")
    if teacher is not None and not method.needs_teacher:
        raise UserError(
            f"the method {method.name} has no teacher, but one was given; leave it out or take another method"
        )
    if method.adversary is not None and recipe.adversary is None:
        raise UserError(f"the method {method.name} needs an adversary, but the recipe {recipe.name} has none; add one")
    if len(data) < 10:
        raise UserError(f"training needs at least 10 images, but {data.name} has {len(data)}")
    unknown = set(recipe.settings) - set(method.defaults)
    if unknown:
        raise UserError(
            f"the method {method.name} has no setting {', '.join(sorted(unknown))}; known: {', '.join(method.defaults)}"
        )


def _fingerprint(data: Dataset) -> str:
    """SHA-256 of the images and labels."""
    digest = hashlib.sha256()
    for part in (data.images, data.labels):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
