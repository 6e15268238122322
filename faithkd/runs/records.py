"""The records of a run folder, as `docs/files.md` describes them: what does not fit these types is not believed.

Numbers are finite, since JSON knows no other; unknown names are refused, except in the description of the machine.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, field

from faithkd.runs.parts import MOST_PART
from faithkd.runs.request import Request

FORMAT: Final = 2
FORMATS = (1, FORMAT)
"""1 has no digests, and does not say what a radius is in pixels nor what the images are like."""

Natural = Annotated[int, Meta(ge=0, le=2**53)]
Positive = Annotated[int, Meta(ge=1, le=2**53)]
Share = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Unit = Literal["pixel", "normalised"]
Agreement = Literal["certified", "undecided", "refuted"]
Proof = Literal["outward", "solver"]
Status = Literal["closed", "open", "timeout", "node-limit", "memory-limit", "overflow", "interrupted"]
State = Literal["running", "complete", "interrupted", "failed"]
AGREEMENTS: tuple[str, ...] = get_args(Agreement)


class Certificate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of `certificates.jsonl`: the interval of one image at one radius."""

    index: Natural
    label: Natural
    eps: NotNegative
    unit: Unit
    eps_pixel: NotNegative
    teacher_class: Natural
    student_class: Natural
    emplb: Share
    faithub: Share
    root: Share | UnsetType = UNSET
    worst_class: Natural = field(name="class")
    sign: Literal[1, -1]
    agreement: Agreement
    method: str
    proof: Proof
    status: Status
    nodes: Natural
    seconds: NotNegative

    @property
    def key(self) -> tuple[float, int]:
        """What there is one certificate of."""
        return self.eps, self.index

    @property
    def gap(self) -> float:
        """What neither search nor proof has settled."""
        return self.faithub - self.emplb


class Spread(Struct, frozen=True, forbid_unknown_fields=True):
    """Mean, standard deviation (of the images, not of the mean), smallest and largest."""

    mean: NotNegative
    std: NotNegative
    min: NotNegative
    max: NotNegative


class Agreements(Struct, frozen=True, forbid_unknown_fields=True):
    """Images by their agreement."""

    certified: Natural
    undecided: Natural
    refuted: Natural


class Imitation(Struct, frozen=True, forbid_unknown_fields=True):
    """Images by the paper's Definition 2."""

    proved: Natural
    undecided: Natural
    refuted: Natural


class Radius(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The statistics of one radius."""

    eps: NotNegative
    unit: Unit
    eps_pixel: NotNegative
    images: Positive
    emplb: Spread
    faithub: Spread
    gap: Spread
    root: Spread | UnsetType = UNSET
    agreement: Agreements
    empirical_agreement: Share
    agree_at_image: Share
    status: dict[Status, Natural]
    proof: dict[Proof, Natural]
    nodes: Natural
    seconds: NotNegative
    imitation: Imitation | UnsetType = UNSET


class Checksums(Struct, frozen=True, forbid_unknown_fields=True):
    """SHA-256 of both checkpoints and of the images."""

    teacher: Digest
    student: Digest
    images: Digest


class Environment(Struct, frozen=True):
    """The machine and its versions; more may be said of it."""

    device: str
    hardware: str
    cores: int | None
    system: str
    versions: dict[str, str]
    code: str | UnsetType = UNSET


class Lines(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of lines."""

    sha256: Digest
    lines: Natural


class Content(Struct, frozen=True, forbid_unknown_fields=True):
    """A file."""

    sha256: Digest


class Files(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the files of a run that has ended hold: the witnesses are joined when it is complete, and in parts before."""

    certificates: Lines = field(name="certificates.jsonl")
    witnesses: Content | UnsetType = field(default=UNSET, name="witnesses.npz")
    parts: Content | UnsetType = field(default=UNSET, name="parts/digests.jsonl")


class PartDigests(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of `parts/digests.jsonl`: a finished part, its images, its lines of `certificates.jsonl`, and its file of witnesses."""

    part: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,80}\Z")]
    eps: NotNegative
    indices: Annotated[tuple[Natural, ...], Meta(min_length=1, max_length=MOST_PART)]
    certificates: Digest
    witnesses: Digest


class Summary(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`summary.json`. scale: one unit of the radius in pixels. image_shape, classes: of the images, and how many confidences."""

    format: Literal[1, 2] = FORMAT
    state: State
    request: Request
    valid_range: tuple[float, float]
    checksums: Checksums
    environment: dict[str, Any]
    scale: NotNegative | UnsetType = UNSET
    image_shape: tuple[Positive, ...] | UnsetType = UNSET
    classes: Positive | UnsetType = UNSET
    wall_seconds: NotNegative = 0.0
    radii: tuple[Radius, ...] = ()
    seconds: NotNegative = 0.0
    files: Files | UnsetType = UNSET
    digest: Digest | UnsetType = UNSET
