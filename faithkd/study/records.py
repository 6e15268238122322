"""The records of a study's folder, as `docs/files.md` describes them, and what must be true of them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from faithkd.runs.records import Digest, Natural, NotNegative, Positive, Share, State
from faithkd.study.plan import POINTS, REGIONS, STEPS, Plan

FORMAT: Final = 2
FORMATS = (1, FORMAT)
"""1 has no digests."""
ROUNDED = 1e-6
"""How far the mean of EMPLBs that are stored with six digits may be from the mean of the EMPLBs."""


class Network(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a network."""

    source: str
    sha256: Digest
    hidden: tuple[Natural, ...]
    parameters: Natural
    method: str | None
    seed: int | None
    recipe: str


class Session(Struct, frozen=True, forbid_unknown_fields=True):
    """One call that worked on the study."""

    date: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d\Z")]
    seconds: NotNegative
    workers: Positive


class Study(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`study.json`."""

    format: Literal[1, 2] = FORMAT
    state: State
    plan: Plan
    environment: dict[str, Any]
    networks: dict[str, Network] = {}
    sessions: tuple[Session, ...] = ()
    digest: Digest | UnsetType = UNSET


class Counted(Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the images: over every iterate, and over the last alone."""

    every: Share
    last: Share


class Mean(Struct, frozen=True, forbid_unknown_fields=True):
    """Of the images."""

    mean: Share
    std: Share


class AtRadius(Struct, frozen=True, forbid_unknown_fields=True):
    """What was searched and proved at one radius; of a student also beside the teacher."""

    robust_accuracy: Counted
    certified_accuracy: tuple[Share, Share]
    agreement: Counted | UnsetType = UNSET
    emplb: Mean | UnsetType = UNSET


class Steps(Struct, frozen=True, forbid_unknown_fields=True):
    """EMPLB of every image for each number of steps, at one radius."""

    eps: str
    emplb: dict[str, tuple[Share, ...]]


class Search(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record of searches: one network, one kind of region. agreement: at the images themselves."""

    network: str
    region: str
    images: Positive
    accuracy: Share
    radii: dict[str, AtRadius]
    agreement: Share | UnsetType = UNSET
    steps: Steps | UnsetType = UNSET
    seconds: NotNegative
    digest: Digest | UnsetType = UNSET


class At(Struct, frozen=True, forbid_unknown_fields=True):
    """The difference of confidences at three points."""

    image: Share
    witness: Share
    corner: Share


class Plane(Struct, frozen=True, forbid_unknown_fields=True):
    """Differences of confidences on a plane, and the distances to the nearest side of the region, in radii."""

    values: tuple[tuple[Share, ...], ...]
    slack: tuple[tuple[float, ...], ...]
    at: At


class Planes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The planes of one image, by student and kind of region."""

    eps: str
    index: Natural
    label: Natural
    margin: Annotated[float, Meta(gt=0, le=10)]
    planes: dict[str, Plane]
    digest: Digest | UnsetType = UNSET


def study_problem(study: Study) -> str | None:
    """What cannot be true of `study.json`, in words, or None."""
    names = {"teacher", *study.plan.students}
    if study.networks and set(study.networks) != names:
        return f"its networks are not {', '.join(sorted(names))}"
    return None if (study.digest is UNSET) is (study.format == 1) else "it has a digest in format 1, or none in another"


def search_problem(found: Search, plan: Plan, network: str, region: str) -> str | None:
    """What cannot be true of a record of searches of this network and kind of region, in words, or None."""
    student = network != "teacher"
    beside = [
        found.agreement,
        found.steps,
        *(value for at in found.radii.values() for value in (at.agreement, at.emplb)),
    ]
    rules = {
        f"it is not of {network}, {region}": (found.network, found.region) == (network, region),
        f"it is of {found.images} images": found.images == plan.images,
        "its radii are others": list(found.radii) == list(plan.labels),
        "it has not what a student has, or has it of the teacher": all(
            (value is not UNSET) is student for value in beside
        ),
        "its shares contradict each other": all(map(_is_consistent, found.radii.values())),
        "its steps are others": found.steps is UNSET or _are_steps(found.steps, found, plan),
    }
    return next((wrong for wrong, holds in rules.items() if not holds), None)


def planes_problem(found: Planes, plan: Plan) -> str | None:
    """What cannot be true of the record of planes, in words, or None."""
    names = {f"{student}-{region}" for student in plan.students for region in REGIONS}
    grids = [grid for plane in found.planes.values() for grid in (plane.values, plane.slack)]
    rules = {
        "its radius is another": found.eps in plan.labels,
        "its planes are others": set(found.planes) == names,
        "its planes have another size": all(len(grid) == POINTS == len(row) for grid in grids for row in grid),
    }
    return next((wrong for wrong, holds in rules.items() if not holds), None)


def _is_consistent(at: AtRadius) -> bool:
    """What holds at every iterate holds at the last, and a certified share is not above what no input refutes."""
    held, (low, high) = at.robust_accuracy, at.certified_accuracy
    agreed = at.agreement is UNSET or at.agreement.every <= at.agreement.last
    # One less a share is rounded.
    return held.every <= held.last and low <= high + ROUNDED and agreed


def _are_steps(steps: Steps, found: Search, plan: Plan) -> bool:
    at = found.radii.get(steps.eps)
    if steps.eps != plan.steps_at or at is None or at.emplb is UNSET:
        return False
    if list(steps.emplb) != [str(number) for number in STEPS] or any(
        len(v) != plan.images for v in steps.emplb.values()
    ):
        return False
    # The search of 50 steps is the one whose mean stands with the radius.
    return abs(sum(steps.emplb["50"]) / plan.images - at.emplb.mean) <= ROUNDED
