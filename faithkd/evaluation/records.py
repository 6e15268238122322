"""Results as records in RobustBench's form: one a result, what was claimed beside what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from faithkd.card import Card
from faithkd.data import Dataset
from faithkd.evaluation.claims import claim
from faithkd.evaluation.networks import Evaluation, Robustness
from faithkd.evaluation.pairs import Beside
from faithkd.evaluation.setting import Setting
from faithkd.runs.request import radius_label
from faithkd.text import percent


@dataclass(frozen=True)
class Subject:
    """A network under evaluation, and what was measured of it.

    name: or path that it was given by. sha256: of its file. beside: for a student whose teacher, the name or path `teacher`, was given.
    """

    name: str
    card: Card
    sha256: str
    evaluation: Evaluation
    beside: Beside | None = None
    teacher: str | None = None


def records(subject: Subject, dataset: Dataset, setting: Setting) -> list[dict[str, Any]]:
    """A record for each attack and radius, one without them where there is no radius.

    The fields of RobustBench (`name`, `dataset`, `architecture`, `eps`, `clean_acc`, `reported`, `autoattack_acc`, ...) are strings as
    there, accuracies in percent; None stands for what is not known. All other fields are numbers, shares in [0, 1].
    """
    results = subject.evaluation.robustness or (None,)
    return [_record(subject, result, dataset, setting) for result in results]


def _record(subject: Subject, result: Robustness | None, dataset: Dataset, setting: Setting) -> dict[str, Any]:
    card, evaluation = subject.card, subject.evaluation
    claimed = claim(
        card,
        sample=dataset.name.endswith("-sample"),
        eps=None if result is None else result.eps,
        unit=setting.unit,
        clip=setting.clip,
    )
    shares = None if result is None or result.held is None else result.held.shares()
    record: dict[str, Any] = {
        "link": None,
        "name": subject.name,
        "authors": None,
        "additional_data": None,
        "number_forward_passes": 1,
        "dataset": dataset.name,
        "venue": None,
        "architecture": card.architecture["name"],
        "eps": None if result is None else radius_label(result.eps),
        "clean_acc": percent(evaluation.clean, 2),
        "reported": None if claimed.robust is None else percent(claimed.robust, 2),
    }
    if result is not None and result.attack == "autoattack":
        record["autoattack_acc"] = None if shares is None else percent(shares["every"], 2)
    record |= {
        "attack": None if result is None else result.attack,
        "every": None if shares is None else shares["every"],
        "last": None if shares is None else shares["last"],
        "note": None if result is None else result.note,
        "clean": evaluation.clean,
        "claimed": asdict(claimed),
        "radius": None if result is None else result.eps,
        "unit": setting.unit,
        "radius_pixel": None if result is None else result.eps_pixel,
        "clip": setting.clip,
        "images": len(dataset),
        "seed": setting.seed,
        "seconds": None if result is None else result.seconds,
        **asdict(evaluation.calibration),
        "entropy": evaluation.entropy,
        "warnings": list(evaluation.warnings),
        "method": card.method,
        "sha256": subject.sha256,
    }
    if subject.beside is not None:
        record["teacher"] = subject.teacher
        record["beside_teacher"] = _beside(subject.beside, None if result is None else result.eps)
    return record


def _beside(beside: Beside, eps: float | None) -> dict[str, Any]:
    """The pair's numbers: those without a radius, and those at this one."""
    near = next((asdict(radius) for radius in beside.radii if radius.eps == eps), None)
    return {
        "agreement": beside.agreement,
        "calibration": asdict(beside.calibration),
        "gradient_distance": beside.gradient_distance,
        "at_radius": near,
    }
