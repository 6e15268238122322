"""What a study consists of, as a record of plain values: networks, images, radii, regions and limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from faithkd.data.catalogue import PUBLISHED
from faithkd.errors import UserError
from faithkd.runs.request import Request, radius_label
from faithkd.study.paper import RADII, STUDENTS

REGIONS = {"cut": True, "whole": False}
"""The two kinds of region, and whether each is cut with the range of valid pixels."""

STEPS = (1, 5, 10, 25, 50, 100)
"""Lengths of the search whose EMPLB are compared (the paper's Table 3, and one that it does not have)."""

POINTS = 61
"""Points along each side of the planes of Figure 1."""

TIMEOUTS = (1.0, 0.5, 0.2, 0.05, 0.02)
QUICK_TIMEOUTS = (0.5, 0.2, 0.05, 0.02, 0.02)
"""Seconds an image at the paper's five radii. The small ones close long before; at the large ones more time buys little until it is
very much more, so it is spent where images still close."""
QUICK_IMAGES = 50


@dataclass(frozen=True)
class Plan:
    """One study.

    eps: radii in normalised units, ascending. timeout: seconds an image of branch and bound, for each radius. networks: `embedded`, a
    folder with DATASET-NAME.safetensors files, or `trained` for those that the study trains itself. data: None for the
    embedded images where they suffice. seed: of the drawn images and of every search. imports: see `Request`.
    """

    dataset: str
    images: int = 1000
    seed: int = 0
    eps: tuple[float, ...] = ()
    timeout: tuple[float, ...] = ()
    students: tuple[str, ...] = STUDENTS
    networks: str = "embedded"
    gap: float = 0.01
    device: str = "cpu"
    data_dir: str | None = None
    imports: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """The inverse of `to_dict`. Raises `UserError` for a name that this version does not know, and for values that none can have."""
        from faithkd.runs.stored import converted

        if unknown := set(values) - {entry.name for entry in fields(cls)}:
            raise UserError(
                f"the study was made by another version of faithkd: it has the unknown option {min(unknown)}"
            )
        plan = converted(values, cls, "the plan of the study")
        plan.check()
        return plan

    def check(self) -> None:
        """Raise `UserError` for values that no study can have."""
        if self.dataset not in RADII:
            raise UserError(f"the paper's data sets are {' and '.join(RADII)}, but {self.dataset!r} was asked for")
        most = PUBLISHED[self.dataset].sizes["test"]
        if not 1 <= self.images <= most:
            raise UserError(f"--images must be at least 1 and at most {most:,}, but is {self.images}")
        if self.seed < 0:
            raise UserError(f"--seed must be at least 0, but is {self.seed}")
        if not 0 <= self.gap <= 1:
            raise UserError(f"the gap must be a difference of confidences in [0, 1], but is {self.gap:g}")
        if not self.eps or not self.students:
            raise UserError("a study needs at least one radius and one student; give --eps and --student")
        for name in self.students:
            if name not in STUDENTS:
                raise UserError(f"--student must be one of {', '.join(STUDENTS)}, but is {name!r}")
        if any(not (math.isfinite(eps) and eps > 0) for eps in self.eps):
            raise UserError(f"a radius must be a finite number above 0, but --eps is {min(self.eps):g}")
        for what, values in (("--eps", self.eps), ("--student", self.students)):
            if len(set(values)) != len(values):
                raise UserError(f"each {what} must be given once, but one is repeated")
        if len(self.timeout) != len(self.eps) or any(not 0 < limit < math.inf for limit in self.timeout):
            raise UserError(
                f"there must be one --timeout above 0 for all {len(self.eps)} radii, or one for each, but they are "
                f"{', '.join(f'{limit:g}' for limit in self.timeout)}"
            )

    @property
    def labels(self) -> dict[str, float]:
        """The radii by the names that the paper gives them."""
        return {radius_label(eps): eps for eps in self.eps}

    @property
    def std(self) -> float:
        """What one normalised unit is in pixels."""
        std = PUBLISHED[self.dataset].std
        assert isinstance(std, float)
        return std

    @property
    def steps_at(self) -> str:
        """The radius at which searches of different length are compared: the second, as in the paper's Table 3."""
        return list(self.labels)[min(1, len(self.eps) - 1)]

    @property
    def data(self) -> str:
        """The images: those that come with the package are the first 1,000 of seed 0, so the full data are rarely needed."""
        return f"{self.dataset}-sample" if self.seed == 0 and self.images <= 1000 else self.dataset

    def request(self, teacher: str, student: str, region: str) -> Request:
        """The certification of one student on one kind of region, at all radii."""
        return Request(
            teacher=teacher, student=student, data=self.data, data_dir=self.data_dir, eps=self.eps, unit="normalised",
            images=self.images, seed=self.seed, clip=REGIONS[region], gap=self.gap, timeout=self.timeout, device=self.device,
            imports=self.imports,
        )  # fmt: skip


def plan(dataset: str, *, quick: bool = False, timeout: tuple[float, ...] = (), **given: Any) -> Plan:
    """A checked plan. timeout: one for all radii, or one for each; given: fields of `Plan`, None or () for the default."""
    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    eps = tuple(sorted(chosen.pop("eps", RADII.get(dataset, {}).values())))
    timeout = timeout * len(eps) if len(timeout) == 1 else timeout or _timeouts(dataset, eps, quick)
    made = Plan(dataset, **{"images": QUICK_IMAGES if quick else 1000, **chosen, "eps": eps, "timeout": timeout})
    made.check()
    return made


def _timeouts(dataset: str, eps: tuple[float, ...], quick: bool) -> tuple[float, ...]:
    """The limit of the smallest of the paper's radii that is not below each radius."""
    limits = QUICK_TIMEOUTS if quick else TIMEOUTS
    known = list(RADII.get(dataset, {}).values())
    places = (next((k for k, radius in enumerate(known) if value <= radius * (1 + 1e-9)), -1) for value in eps)
    return tuple(limits[place] for place in places)
