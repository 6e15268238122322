"""The training loop: epochs over the images in memory, the best epoch by held-out images, resumable after every epoch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faithkd import checkpoint
from faithkd import device as devices
from faithkd.card import read_own_card
from faithkd.checkpoint import compatible, sha256
from faithkd.data.catalogue import PUBLISHED
from faithkd.data.records import Dataset
from faithkd.distillation import find_method
from faithkd.distillation.method import CHOICES
from faithkd.embedded import SAMPLES, find
from faithkd.errors import UserError
from faithkd.models import Network
from faithkd.recipes import Recipe
from faithkd.text import percent
from faithkd.training.epoch import Progress, Run
from faithkd.training.outcome import Ancestors, Teacher, Trained, save_epoch, save_trained, trained_before
from faithkd.training.plan import Images, Plan
from faithkd.training.state import State
from faithkd.training.world import joined

ATTEMPTS = 6
Say = Callable[[str], None]
Model = str | Path


def train(
    recipe: Recipe,
    data: Dataset,
    out: str | Path,
    *,
    teacher: Model | Sequence[Model] | None = None,
    student_from: Model | None = None,
    device: str = "auto",
    resume: bool = False,
    keep_epochs: Sequence[int] = (),
    progress: Progress | None = None,
    say: Say = lambda message: None,
) -> Trained:
    """Train one network by a recipe and save its best epoch to `out`, its last beside it.

    data: the training split. out: a path that ends in .safetensors; `NAME.last.safetensors` and, for each of `keep_epochs` (numbers
    from 1), `NAME.epoch-N.safetensors` are written beside it, `NAME.loop-N.safetensors` for each loop of a method that has
    some, `NAME.curves.json` with what was measured by epoch, and `NAME.state` until the run is complete. teacher: an embedded
    network's name or a checkpoint, or several for methods that have several. student_from: a network whose weights to begin
    with. resume: go on from `NAME.state` where there is one; the result is the same, bit by bit, as without the interruption.
    progress: called after every batch with epoch and batch (from 1) and the loss, after an epoch's last batch with the held-out
    accuracies too. say: told of restarts and of a fall back to the CPU.

    Raises `UserError` when the recipe, the data and the teachers do not fit together, a resumed run differs, or every one of six
    attempts stays at chance level.
    """
    place = devices.choose(device, say)
    with joined(place) as (world, place):
        if not world.first:
            progress, say = None, lambda message: None
        several = [] if teacher is None else [teacher] if isinstance(teacher, str | Path) else list(teacher)
        imitated = [Teacher.load(name_or_path, place) for name_or_path in several]
        begun = None if student_from is None else _begun(student_from)
        plan = Plan(
            recipe,
            find_method(recipe.method),
            data,
            place,
            world,
            [one.model for one in imitated],
            None if begun is None else begun.state_dict(),
        )
        _check(plan, imitated, begun)
        ancestors = Ancestors(
            tuple(one.sha256 for one in imitated), None if student_from is None else sha256(find(student_from))
        )
        return _train(plan, ancestors, Path(out), resume, sorted(keep_epochs), progress, say)


def _train(
    plan: Plan,
    ancestors: Ancestors,
    out: Path,
    resume: bool,
    keep_epochs: Sequence[int],
    progress: Progress | None,
    say: Say,
) -> Trained:
    recipe, world = plan.recipe, plan.world
    if out.suffix != ".safetensors":
        raise UserError(f"the trained network is saved as .safetensors, but {out} ends otherwise; give such a path")
    if any(not 1 <= epoch <= plan.epochs for epoch in keep_epochs):
        raise UserError(
            f"the epochs to keep must be from 1 to {plan.epochs}, but are {', '.join(map(str, keep_epochs))}"
        )
    path = out.with_suffix(".state")
    if resume and not path.exists():
        finished = trained_before(recipe, ancestors, out)
        if finished is not None:
            return finished
    options = {
        **_flat(recipe.to_dict()),
        "teacher (SHA-256)": list(ancestors.teachers),
        "student-from (SHA-256)": ancestors.student_from,
        "images (SHA-256)": _fingerprint(plan.data),
        "device": plan.place.type,
        "processes": world.size,
        "keep-epochs": list(keep_epochs),
    }
    state = State(options)
    if resume and path.exists():
        expected = plan.network(0).state_dict()
        state = State.load(path, options, expected)
        state.check(expected, plan.stages, recipe.epochs, ATTEMPTS)
    images = Images.split(plan.data, recipe.held_out, plan.place)
    run = None
    while (state.stage + 1, state.epoch) != (plan.stages, recipe.epochs):
        if state.epoch == recipe.epochs:
            state = state.next_stage()
        if run is None or (run.attempt, run.stage) != (state.attempt, state.stage):
            run = Run(plan.at(state.stage, state.previous), images, state, progress)
        run.epoch(state)
        if _collapsed(state, recipe, images):
            state = _restarted(state, recipe, say)
        elif world.first:
            _keep(plan, ancestors, state, out, keep_epochs)
        if world.first:
            state.save(path)
    if world.first:
        save_trained(plan, ancestors, state, out)
        path.unlink(missing_ok=True)
    world.told(None)  # The others wait for the files.
    trained = trained_before(recipe, ancestors, out)
    assert trained is not None
    return trained


def _begun(name_or_path: Model) -> Network:
    read_own_card(name_or_path, "the network to begin with")
    return checkpoint.load(name_or_path)


def total_epochs(recipe: Recipe) -> int:
    """The number of epochs that training by a recipe takes, all loops of its method together."""
    method = find_method(recipe.method)
    loops = int({**method.options, **recipe.settings}.get("loops", 1)) if method.loops else 1
    return recipe.epochs * (loops + (method.loops == "plain"))


def _keep(plan: Plan, ancestors: Ancestors, state: State, out: Path, keep_epochs: Sequence[int]) -> None:
    """Save the epoch that has just ended, if it is one to keep, and the last one of a loop."""
    epochs = plan.recipe.epochs
    if state.stage * epochs + state.epoch in keep_epochs:
        save_epoch(plan, ancestors, state, out, f"epoch-{state.stage * epochs + state.epoch}")
    if plan.method.loops is not None and state.epoch == epochs:
        save_epoch(plan, ancestors, state, out, f"loop-{plan.loop(state.stage)}")


def _collapsed(state: State, recipe: Recipe, images: Images) -> bool:
    """After the first tenth of the epochs: at chance level, or no longer finite."""
    if not math.isfinite(state.metrics["loss"]):
        return True
    # Where one label is frequent, 1.5 times its share could be more than everything.
    least = min(1.5 * images.chance, (1 + images.chance) / 2)
    return state.epoch >= recipe.epochs / 10 and state.metrics["held_out_clean"] < least


def _restarted(state: State, recipe: Recipe, say: Say) -> State:
    """The state that the next attempt begins with."""
    right = percent(state.metrics["held_out_clean"])
    found = f"the training collapsed: {right} % of the held-out images are right after epoch {state.epoch}"
    if state.attempt + 1 == ATTEMPTS:
        raise UserError(
            f"{found}, in the last of {ATTEMPTS} attempts; lower the rate or the radius, or let the radius grow"
        )
    say(f"{found}; starting again with other random numbers (attempt {state.attempt + 2} of {ATTEMPTS})")
    return State(state.options, attempt=state.attempt + 1)


def _check(plan: Plan, teachers: Sequence[Teacher], begun: Network | None) -> None:
    recipe, data, method = plan.recipe, plan.data, plan.method
    if data.name in (*PUBLISHED, *SAMPLES) and SAMPLES.get(data.name, data.name) != recipe.dataset:
        raise UserError(
            f"the recipe {recipe.name} is for {recipe.dataset}, but the images are from {data.name}; give matching ones"
        )
    student = plan.network(0)
    if data.image_shape != student.input_shape or data.classes != student.classes:
        raise UserError(
            f"{recipe.architecture} reads images of shape {student.input_shape} in {student.classes} classes, but {data.name} has "
            f"{data.image_shape} and {data.classes}; give other data"
        )
    if not any(weight.requires_grad for weight in student.parameters()):
        raise UserError(f"the network {recipe.architecture} has no parameters that can be trained; give another one")
    # Now, and not when the last epoch is to be saved.
    checkpoint.check_storable(student, plan.card(student), data.images[:2])
    for teacher in teachers:
        compatible(teacher.card, plan.card(student))
    _check_number(method.name, method.teachers, len(teachers))
    if begun is not None and (begun.architecture, begun.arguments) != (student.architecture, student.arguments):
        raise UserError(
            f"the student to begin with is a {begun.architecture} of {begun.arguments}, but the recipe trains a "
            f"{student.architecture} of {student.arguments}; give a network of the same architecture"
        )
    if method.adversary is not None and recipe.adversary is None:
        raise UserError(f"the method {method.name} needs an adversary, but the recipe {recipe.name} has none; add one")
    if len(data) < 10:
        raise UserError(f"training needs at least 10 images, but {data.name} has {len(data)}")
    _check_settings(plan, len(teachers))


def _check_number(method: str, wanted: int | None, given: int) -> None:
    if wanted == 0 and given:
        raise UserError(f"the method {method} has no teacher, but one was given; leave it out or take another method")
    if given == 0 and wanted != 0:
        raise UserError(f"the method {method} needs a teacher; give one (faithkd distill {method} --teacher MODEL)")
    if wanted is not None and given != wanted:
        raise UserError(
            f"the method {method} has a number of {wanted} teachers, but {given} were given; repeat --teacher as often, a robust one "
            "before a standard one"
        )


def _check_settings(plan: Plan, teachers: int) -> None:
    method, settings = plan.method, plan.recipe.settings
    known = {**method.defaults, **method.options}
    for name, value in settings.items():
        if name not in known:
            raise UserError(f"the method {method.name} has no setting {name}; known: {', '.join(known) or 'none'}")
        if name in CHOICES:
            fits, wanted = value in CHOICES[name], f"one of {', '.join(CHOICES[name])}"
        elif isinstance(known[name], Sequence) and not isinstance(known[name], str):
            numbers = isinstance(value, Sequence) and all(isinstance(entry, int | float) for entry in value)
            fits, wanted = numbers and len(value) in (0, teachers), f"{teachers} numbers, one a teacher"
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits, wanted = number or value == known[name], f"a number, such as {known[name]}"
        if not fits:
            raise UserError(f"the setting {name} of {method.name} must be {wanted}, but is {value!r}; mend the recipe")


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
