"""The cells of the benchmarks on the embedded pairs (a data set, a student, a radius), and what their recorded chunks say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from math import fsum

from torch import Tensor, nn

import faithkd
import faithkd.data
import verify
from benchmarks.measuring.record import Row
from faithkd.checkpoint import find, sha256
from faithkd.study.paper import RADII

# `sd` is shown beside the others and measured last.
STUDENTS = ("fd", "ard", "rslad", "sd")
# Images, images a chunk and seconds of one core an image.
SMALL, MIDDLE, LARGE = (1000, 50, 2.0), (200, 25, 10.0), (100, 25, 10.0)
EFFORT = {
    "mnist": dict(zip(RADII["mnist"], (SMALL, SMALL, SMALL, MIDDLE, LARGE), strict=True)),
    "fashion-mnist": dict(zip(RADII["fashion-mnist"], (SMALL, SMALL, MIDDLE, LARGE, LARGE), strict=True)),
}


@dataclass(frozen=True)
class Setting:
    """An embedded student with its teacher, a radius (a label of `RADII`), and the first images of the fixed permutation."""

    dataset: str
    student: str
    eps: str
    images: int

    @property
    def name(self) -> str:
        """The pair and the radius, as in `mnist/fd/0.1`."""
        return f"{self.dataset}/{self.student}/{self.eps}"

    @property
    def pair(self) -> Row:
        """The pair and the radius, as rows have them."""
        return {"dataset": self.dataset, "student": self.student, "eps": self.eps}

    @property
    def key(self) -> Row:
        """What names it in a record."""
        return {**self.pair, "images": self.images}

    def problem(self, part: slice = slice(None), device: str = "cpu") -> tuple[nn.Module, nn.Module, Tensor, float]:
        """Teacher, student, a part of the images and the radius in pixels: the arguments of `verify.faithfulness`."""
        sample = faithkd.data.load(f"{self.dataset}-sample", split="test").sample(self.images, seed=0)
        teacher, student = (faithkd.load(f"{self.dataset}-{name}").to(device) for name in ("teacher", self.student))
        return teacher, student, sample.images[part].to(device), RADII[self.dataset][self.eps] * sample.std


@dataclass(frozen=True)
class Cell(Setting):
    """A setting whose images are taken `chunk` at a time.

    timeout: seconds of one core an image, which a chunk's images share.
    """

    chunk: int
    timeout: float

    def chunks(self) -> list[slice]:
        """Places of the images of each chunk in the sample."""
        return [slice(first, min(first + self.chunk, self.images)) for first in range(0, self.images, self.chunk)]


def cells(patterns: Sequence[str] = ("*",)) -> list[Cell]:
    """The cells with a name like one of the patterns, student by student."""
    every = [
        Cell(dataset, student, eps, *EFFORT[dataset][eps])
        for student in STUDENTS
        for dataset, radii in RADII.items()
        for eps in radii
    ]
    return [cell for cell in every if any(fnmatch(cell.name, pattern) for pattern in patterns)]


def finished(result: verify.Faithfulness) -> verify.Faithfulness:
    """The result; after Ctrl-C, to which `verify` answers with what it has proved by then, there is none."""
    if "interrupted" in result.status:
        raise KeyboardInterrupt
    return result


def checksums(dataset: str) -> dict[str, str]:
    """SHA-256 of the embedded networks of a data set."""
    return {name: sha256(find(f"{dataset}-{name}")) for name in ("teacher", "sd", "ard", "rslad", "fd")}


def together(chunks: Iterable[Row]) -> Row:
    """What the chunks of a cell by `complete` say of all its images.

    Means of the bounds, their ratios to the mean EMPLB, the share closed, the mean gap, and times: `core_seconds` (wall clock of
    one-thread processes), `cpu_seconds` and `elapsed` (wall clock while at least one chunk was worked on) are seconds an image,
    `nodes_a_second` is a second of `elapsed`.
    """
    rows = list(chunks)
    count = sum(row["count"] for row in rows)
    means = {name: fsum(fsum(row[name]) for row in rows) / count for name in ("emplb", "crown", "root", "faithub")}
    nodes = sum(sum(row["nodes"]) for row in rows)
    elapsed = covered((row["started"], row["started"] + row["seconds"]) for row in rows)
    return {
        "images": count,
        **means,
        **{f"{name}_ratio": means[name] / means["emplb"] for name in ("crown", "root", "faithub")},
        "closed": sum(row["status"].get("closed", 0) for row in rows) / count,
        "gap": means["faithub"] - means["emplb"],
        "nodes": nodes,
        "nodes_a_second": nodes / elapsed,
        "core_seconds": fsum(row["seconds"] for row in rows) / count,
        "cpu_seconds": fsum(row["cpu_seconds"] for row in rows) / count,
        "elapsed": elapsed / count,
        "timeout": rows[0]["timeout"],
    }


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    length, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        length += max(stop - max(start, end), 0.0)
        end = max(end, stop)
    return length
