"""What is asked of a certification, as a record of plain values: everything that decides its results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from faithkd.errors import UserError

UNITS = ("pixel", "normalised")
MOST_IMAGES = 10**9
DEFAULT_RADII = {"mnist": (0.05, 0.1), "fashion-mnist": (4 / 255, 8 / 255)}
"""Radii in normalised units that are used where none is given: two of the paper's for each data set."""


@dataclass(frozen=True)
class Request:
    """One certification: which pair, which images, which regions, by which method, how far.

    eps: the radii, in `unit`; None for DEFAULT_RADII. data: a data set's name or an `.npz` file; None for the embedded sample of the
    teacher's data set. valid_range: of the values of an `.npz` file. index: positions in the full data set, in place of `images`
    drawn with `seed`. timeout: seconds an image, or one number for each of `eps`; None for the method's own. clip: whether regions
    are cut with the valid range. shard: `i/n`, the part of the images to do. architecture, mean, std: of networks that are plain state
    dicts, see `faithkd.checkpoint.Said`. imports: SHA-256 of the modules of one's own that were imported for it (`faithkd.imports`); they
    are compared, and never a reason to import anything.
    """

    teacher: str = "mnist-teacher"
    student: str = "mnist-fd"
    data: str | None = None
    data_dir: str | None = None
    valid_range: tuple[float, float] | None = None
    eps: tuple[float, ...] | None = None
    unit: str | None = None
    images: int = 100
    index: tuple[int, ...] | None = None
    seed: int = 0
    delta: float | None = None
    clip: bool = True
    method: str = "complete"
    gap: float = 0.01
    timeout: float | tuple[float, ...] | None = None
    max_nodes: int | None = None
    solver: str = "auto"
    search: bool = True
    device: str = "cpu"
    shard: str = "1/1"
    architecture: tuple[str, ...] = ()
    mean: tuple[tuple[float, ...], ...] = ()
    std: tuple[tuple[float, ...], ...] = ()
    imports: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """The inverse of `to_dict`. Raises `UserError` for a name that this version does not know, and for values that none can have."""
        from faithkd.runs.stored import converted

        known = {entry.name for entry in fields(cls)}
        if unknown := set(values) - known:
            raise UserError(f"the run was made by another version of faithkd: it has the unknown option {min(unknown)}")
        request = converted(values, cls, "the request of the run")
        request.check()
        return request

    def asked(self) -> int:
        """How many images, all shards together."""
        return self.images if self.index is None else len(set(self.index))

    def with_defaults(self, dataset: str | None) -> Request:
        """The same with data, radii and unit filled in from the teacher's data set."""
        data = self.data
        if data is None:
            if dataset not in DEFAULT_RADII:
                raise UserError("the teacher's card names no data set that comes with faithkd; give --data")
            data = f"{dataset}-sample"
        if self.eps is not None:
            return replace(self, data=data, unit=self.unit or "pixel")
        if dataset not in DEFAULT_RADII or self.unit == "pixel":
            raise UserError("there are no default radii for this data set and unit; give at least one --eps")
        return replace(self, data=data, eps=DEFAULT_RADII[dataset], unit="normalised")

    def check(self) -> None:
        """Raise `UserError` for values that no certification can have."""
        for eps in self.eps or ():
            if not (math.isfinite(eps) and eps >= 0):
                raise UserError(f"a radius must be a finite number of at least 0, but --eps is {eps:g}")
        if self.eps is not None and not 0 < len(set(self.eps)) == len(self.eps):
            raise UserError("every radius must be given once, but one --eps is repeated or there is none")
        if self.unit is not None and self.unit not in UNITS:
            raise UserError(f"--unit must be one of {', '.join(UNITS)}, but is {self.unit!r}")
        if not 1 <= self.images <= MOST_IMAGES:
            raise UserError(f"--images must be between 1 and {MOST_IMAGES:,}, but is {self.images}")
        if self.seed < 0:
            raise UserError(f"--seed must be at least 0, but is {self.seed}")
        if self.delta is not None and not 0 <= self.delta <= 1:
            raise UserError(f"--delta must be a difference of confidences in [0, 1], but is {self.delta:g}")
        if not 0 <= self.gap <= 1:
            raise UserError(f"--gap must be a difference of confidences in [0, 1], but is {self.gap:g}")
        timeouts = self.timeout if isinstance(self.timeout, tuple) else () if self.timeout is None else (self.timeout,)
        for timeout in timeouts:
            if not (math.isfinite(timeout) and timeout > 0):
                raise UserError(f"--timeout must be a finite number of seconds above 0, but is {timeout:g}")
        if isinstance(self.timeout, tuple) and len(self.timeout) != len(self.eps or ()):
            raise UserError(
                f"there must be a timeout for each of {len(self.eps or ())} radii, but there are {len(timeouts)}"
            )
        if self.max_nodes is not None and self.max_nodes < 1:
            raise UserError(f"--max-nodes must be at least 1, but is {self.max_nodes}")
        if self.valid_range is not None and not -math.inf < self.valid_range[0] < self.valid_range[1] < math.inf:
            raise UserError(f"--valid-range must be a smaller and a larger number, but is {self.valid_range}")
        for name in (self.teacher, self.student, self.data, self.data_dir):
            if name is not None and not _is_text(name):
                raise UserError(f"files must have names in UTF-8 to be recorded, but one is {name!r}; rename it")
        self.shard_of()

    def timeout_at(self, eps: float) -> float | None:
        """Seconds an image at one of the radii."""
        return self.timeout[(self.eps or ()).index(eps)] if isinstance(self.timeout, tuple) else self.timeout

    def shard_of(self) -> tuple[int, int]:
        """The shard as numbers `(i, n)`, `1 <= i <= n`. Raises `UserError` when it is not `i/n`."""
        try:
            place, total = (int(number) for number in self.shard.split("/"))
        except ValueError:
            place = total = 0
        if not 1 <= place <= total:
            raise UserError(f"--shard must be i/n with 1 <= i <= n, such as 2/4, but is {self.shard!r}")
        return place, total


def _is_text(name: str) -> bool:
    """Names of files that are not UTF-8 come as halves of characters, which no JSON can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def radius_label(eps: float, unit: str | None = None) -> str:
    """A radius as people write it, `0.1` or `8/255`, with its unit where one is given."""
    tidy = f"{eps:.6g}"
    numerator = eps * 255
    if abs(float(tidy) - eps) > 1e-12 and abs(numerator - round(numerator)) < 1e-9:
        tidy = f"{round(numerator)}/255"
    return f"{tidy} {unit}" if unit else tidy
