"""Run folders whose intervals are given and whose images are random: everything that is checked of them holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import UNSET

from faithkd.runs import Certificate, Request, RunFolder, Summary
from faithkd.runs.parts import cut
from faithkd.runs.records import Checksums

SCALE = {"pixel": 1.0, "normalised": 0.5}
EPS = 0.1


def made_up_run(
    path: Path,
    emplb: Sequence[float],
    faithub: Sequence[float],
    shape: tuple[int, ...] = (1, 6, 6),
    classes: int = 4,
    *,
    unit: str = "pixel",
    state: str = "complete",
    root: Sequence[float] | None = None,
    student: str = "<student>",
) -> Path:
    """A run of format 2; root: FAITHUB before branching, None for runs that did not keep it.

    A run that is not complete has its first part alone.
    """
    request = Request(
        teacher="a/b/teacher.safetensors", student=student, data="data.npz", eps=(EPS,), unit=unit, method="crown",
        images=len(emplb),
    )  # fmt: skip
    summary = Summary(
        state="running",
        request=request,
        valid_range=(0.0, 1.0),
        checksums=Checksums("0" * 64, "1" * 64, "2" * 64),
        environment={
            "device": "cpu",
            "hardware": "a machine",
            "cores": 2,
            "system": "here",
            "versions": {"python": "3"},
        },
        scale=SCALE[unit],
        image_shape=shape,
        classes=classes,
    )
    roots = [None] * len(emplb) if root is None else root
    arrays = witnesses(np.array(emplb), shape, classes, EPS * SCALE[unit])
    with RunFolder.create(path, summary) as folder:
        for part in cut(request):
            lines = [line(k, emplb[k], faithub[k], roots[k], unit) for k in part.rows]
            folder.append(part.name, lines, {name: values[list(part.rows)] for name, values in arrays.items()})
            if state != "complete":
                break
        if state == "complete":
            folder.complete(1.0)
        elif state != "running":
            folder.stop(state, 1.0)
    return path


def line(k: int, emplb: float, faithub: float, root: float | None, unit: str) -> Certificate:
    """The certificate of image k."""
    return Certificate(
        index=k, label=0, eps=EPS, unit=unit, eps_pixel=EPS * SCALE[unit], teacher_class=0, student_class=0,
        emplb=float(emplb), faithub=float(faithub), root=UNSET if root is None else float(root), worst_class=1, sign=-1,
        agreement="undecided", method="crown", proof="solver", status="timeout", nodes=3, seconds=0.1,
    )  # fmt: skip


def witnesses(emplb: np.ndarray, shape: tuple[int, ...], classes: int, eps: float) -> dict[str, np.ndarray]:
    """Arrays in which every witness attains its EMPLB inside its radius."""
    random, count = np.random.default_rng(0), len(emplb)
    images = random.random((count, *shape), dtype=np.float32)
    moved = np.where(images < 0.5, images + np.float32(0.99 * eps), images - np.float32(0.99 * eps))
    teacher, student = np.zeros((2, count, 2, classes), dtype=np.float32)
    teacher[:, 0, 0] = student[:, 0, 0] = 1
    teacher[:, 1, 0], teacher[:, 1, 1] = (1 + emplb) / 2, (1 - emplb) / 2
    student[:, 1, 0], student[:, 1, 1] = (1 - emplb) / 2, (1 + emplb) / 2
    return {
        "index": np.arange(count), "eps": np.full(count, EPS), "image": images, "witness": moved.astype(np.float32),
        "teacher": teacher, "student": student, "empirical_agreement": np.ones(count, dtype=bool),
    }  # fmt: skip
