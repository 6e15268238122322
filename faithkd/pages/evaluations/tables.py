"""The tables of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from faithkd.data import Dataset
from faithkd.evaluation.claims import claim
from faithkd.evaluation.records import Subject
from faithkd.evaluation.setting import Setting
from faithkd.pages.content import Table
from faithkd.runs.request import radius_label
from faithkd.text import percent, short


def accuracy_table(subjects: Sequence[Subject], setting: Setting) -> Table:
    """A row for each network and attack: clean accuracy, and robust accuracy at each radius with that of the last iterate."""
    columns = [("network", ""), ("clean", "accuracy in %")]
    if setting.eps:
        columns.insert(1, ("attack", "all: the images that hold under every attack"))
    columns += [
        (radius_label(eps), "robust accuracy in %: over every input met, and in brackets over the last alone")
        for eps in setting.eps
    ]
    rows: list[tuple[str, ...]] = []
    for subject in subjects:
        clean = percent(subject.evaluation.clean, 2)
        if not setting.eps:
            rows.append((short(subject.name), clean))
        for attack in dict.fromkeys(result.attack for result in subject.evaluation.robustness):
            cells = {
                result.eps: "not run" if result.held is None else _every_and_last(result.held.shares())
                for result in subject.evaluation.robustness
                if result.attack == attack
            }
            rows.append((short(subject.name), attack, clean, *(cells.get(eps, "") for eps in setting.eps)))
    return Table.of(columns, rows, note=_accuracy_note(setting))


def claims_table(subjects: Sequence[Subject], dataset: Dataset, setting: Setting) -> Table:
    """What each card claims beside the lowest accuracy that was measured; only where a card claims something."""
    columns = (
        ("network", ""), ("accuracy", ""), ("claimed", "in %, by the network's card"), ("measured", "in %"),
        ("claimed of", "the metric of the card"),
    )  # fmt: skip
    rows = []
    sample = dataset.name.endswith("-sample")
    for subject in subjects:
        for eps in (None, *setting.eps):
            claimed = claim(subject.card, sample=sample, eps=eps, unit=setting.unit, clip=setting.clip)
            if eps is None:
                share, source, what, lowest = claimed.clean, claimed.clean_from, "clean", subject.evaluation.clean
            else:
                held = [
                    result.held.shares()["every"]
                    for result in subject.evaluation.robustness
                    if result.eps == eps and result.held is not None
                ]
                share, source, what = claimed.robust, claimed.robust_from, radius_label(eps, setting.unit)
                lowest = min(held, default=float("nan"))
            if share is not None and source is not None:
                rows.append(
                    (short(subject.name), what, percent(share, 2), percent(lowest, 2), source.replace("_", " "))
                )
    note = "Claims are of the images and the attack that the card names; measured is the lowest of the attacks here."
    return Table.of(columns, rows, note=note)


def calibration_table(subjects: Sequence[Subject]) -> Table:
    """Calibration of each network on the images."""
    columns = (
        ("network", ""), ("ECE", "expected calibration error, 15 bins"), ("Brier", "Brier score, summed over classes"),
        ("NLL", "negative log-likelihood, nats"), ("entropy", "mean entropy of the outputs, nats"),
    )  # fmt: skip
    rows = [
        (short(subject.name), *(f"{value:.4f}" for value in (found.ece, found.brier, found.nll)),
         f"{subject.evaluation.entropy:.4f}")
        for subject in subjects
        for found in (subject.evaluation.calibration,)
    ]  # fmt: skip
    return Table.of(columns, rows, note="On the images themselves. ECE, Brier score and NLL are 0 at best.")


def pair_table(subjects: Sequence[Subject], setting: Setting) -> Table:
    """Each student beside the teacher: on the images, then at each radius."""
    columns = (
        ("student", ""), ("radius", ""),
        ("agreement", "same decisions in %; at a radius empirical, over every input met, in brackets over the last alone"),
        ("ECE", "relative to the teacher"), ("KL", "mean KL(teacher || student), nats"),
        ("gradients", "mean distance of the input gradients, l2"), ("LLM", "mean local linearity of the student, searched"),
        ("transfer", "mean estimate of how far the student's loss can be from the teacher's; not a certificate"),
        ("teacher", "its accuracy in % on the student's adversarial images"),
        ("cases", "images on which the teacher is right at both inputs / at the image only / wrong at the image"),
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for subject in subjects:
        pair = subject.beside
        if pair is None:
            continue
        relative = (f"{pair.calibration.ece:.4f}", f"{pair.calibration.nll:.4f}", f"{pair.gradient_distance:.3f}")
        rows.append((short(subject.name), "0", percent(pair.agreement, 2), *relative, "", "", "", ""))
        for near in pair.radii:
            cases = near.cases
            rows.append((
                short(subject.name), radius_label(near.eps),
                _every_and_last(near.agreement), "", "", "",
                f"{near.local_linearity:.4f}", f"{near.transfer:.4f}", percent(cases.accuracy_at_adversarial, 2),
                f"{cases.both} / {cases.image_only} / {cases.wrong}",
            ))  # fmt: skip
    return Table.of(columns, rows, note=_pair_note(subjects, setting) if rows else "")


def _every_and_last(shares: dict[str, float]) -> str:
    return f"{percent(shares['every'], 2)} ({percent(shares['last'], 2)})"


def _accuracy_note(setting: Setting) -> str:
    if not setting.eps:
        return "In %."
    cut = "cut with the range of valid pixels" if setting.clip else "left uncut"
    return (
        f"In %. Radii in {setting.unit} units, regions {cut}. An image counts when the network is right on every input that the attack "
        "meets, in brackets on the last one alone. An attack finds errors; that none was found is no proof that there is none."
    )


def _pair_note(subjects: Sequence[Subject], setting: Setting) -> str:
    teacher = next(short(subject.teacher) for subject in subjects if subject.teacher)
    return (
        f"The teacher is {teacher}. On the images (radius 0): the same decisions in %, ECE and mean KL divergence of the student relative "
        f"to the teacher, mean distance of the input gradients. Within a radius ({setting.unit} units): empirical agreement in %, the "
        "student's local linearity LLM, an estimate of how far its loss can be from the teacher's, the teacher's accuracy in % on the "
        "student's adversarial images, and on how many images the teacher is right at both inputs / at the image only / wrong at the "
        "image. All of these are searched or estimated: none is a certificate."
    )
