"""The tables of an evaluation, as cells."""

from __future__ import annotations

from collections.abc import Sequence

from faithkd.data import Dataset
from faithkd.evaluation.claims import claim
from faithkd.evaluation.networks import Robustness
from faithkd.evaluation.records import Subject
from faithkd.evaluation.setting import Setting
from faithkd.pages.tables import Table, short
from faithkd.runs.request import radius_label


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
        clean = f"{100 * subject.evaluation.clean:.2f}"
        if not setting.eps:
            rows.append((short(subject.name), clean))
        for attack in dict.fromkeys(result.attack for result in subject.evaluation.robustness):
            results = [result for result in subject.evaluation.robustness if result.attack == attack]
            cells = {result.eps: _held(result) for result in results}
            rows.append((short(subject.name), attack, clean, *(cells.get(eps, "") for eps in setting.eps)))
    return Table(tuple(columns), tuple(rows))


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
                    (short(subject.name), what, f"{100 * share:.2f}", f"{100 * lowest:.2f}", source.replace("_", " "))
                )
    return Table(columns, tuple(rows))


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
    return Table(columns, tuple(rows))


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
        rows.append((short(subject.name), "0", f"{100 * pair.agreement:.2f}", *relative, "", "", "", ""))
        for near in pair.radii:
            cases = near.cases
            rows.append((
                short(subject.name), radius_label(near.eps),
                f"{100 * near.agreement['every']:.2f} ({100 * near.agreement['last']:.2f})", "", "", "",
                f"{near.local_linearity:.4f}", f"{near.transfer:.4f}", f"{100 * cases.accuracy_at_adversarial:.2f}",
                f"{cases.both} / {cases.image_only} / {cases.wrong}",
            ))  # fmt: skip
    return Table(columns, tuple(rows))


def _held(result: Robustness) -> str:
    if result.held is None:
        return "not run"
    shares = result.held.shares()
    return f"{100 * shares['every']:.2f} ({100 * shares['last']:.2f})"
