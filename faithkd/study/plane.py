"""The difference of confidences on a plane through an image, its witness and a second corner of its region."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import faithkd
import verify
from faithkd.runs.reading import Run
from faithkd.study.certified import Runs
from faithkd.study.folder import StudyFolder
from faithkd.study.plan import POINTS, REGIONS, Plan
from faithkd.study.records import At, Plane, Planes
from verify.attained.ascent import BestIterate, ascend, image_points, step_unit
from verify.attained.search import value_of
from verify.measures.confidence import Confidence

MARGIN = 0.25
QUANTILE = 0.9


def measure_plane(folder: StudyFolder, runs: Runs, networks: dict[str, str]) -> None:
    """Make and keep the record of the planes: one image, for each student and kind of region its own witness and second corner.

    The image is the first at the 0.9 quantile of the students' mean EMPLB on cut regions at the middle radius: one on which there is
    something to see, and not the most extreme one.
    """
    plan = folder.plan
    label, eps = list(plan.labels.items())[len(plan.eps) // 2]
    index = _image([runs[student, "cut"] for student in plan.students], eps)
    planes = {
        f"{student}-{region}": _plane(plan, (networks["teacher"], networks[student]), run, region, (eps, index))
        for (student, region), run in runs.items()
    }
    line = next(line for line in runs[plan.students[0], "cut"].certificates if line.index == index)
    folder.save_planes(Planes(eps=label, index=index, label=line.label, margin=MARGIN, planes=planes))


def _image(runs: list[Run], eps: float) -> int:
    lines = [[line for line in run.certificates if line.eps == eps] for run in runs]
    mean = np.mean([[line.emplb for line in one] for one in lines], axis=0)
    order = np.argsort(mean, kind="stable")
    return lines[0][int(order[round(QUANTILE * (len(order) - 1))])].index


def _plane(plan: Plan, names: tuple[str, str], run: Run, region: str, where: tuple[float, int]) -> Plane:
    """Values `(POINTS, POINTS)` on `image + a (witness - image) + b (corner - image)`, a along the columns, b up the rows.

    slack: the distance to the nearest side of the region in radii, negative outside.
    """
    row = next(k for k, line in enumerate(run.certificates) if line.key == where)
    line, low_high = run.certificates[row], run.summary.valid_range
    image, witness = (torch.from_numpy(run.witnesses[name][row : row + 1]) for name in ("image", "witness"))
    teacher, student = (verify.ReluNetwork.from_module(faithkd.load(name), image.shape[1:]) for name in names)
    ball = verify.Region.ball(image, line.eps_pixel, low_high if REGIONS[region] else None)
    distance = value_of((teacher, student), Confidence(teacher.classes))
    corner = _corner(teacher, student, ball, witness.flatten(1))
    steps = torch.linspace(-MARGIN, 1 + MARGIN, POINTS, dtype=torch.float64)
    start, along, up = (x.flatten(1).double() for x in (image, witness - image, corner.view_as(image) - image))
    points = start + steps[None, :, None] * along + steps[:, None, None] * up
    slack = torch.minimum(points - ball.lower[0], ball.upper[0] - points).amin(dim=2) / line.eps_pixel
    with torch.no_grad():
        values = distance(points.flatten(0, 1).float()).view(POINTS, POINTS)
        ends = [float(distance(x.float())[0]) for x in (start, witness.flatten(1), corner)]
    return Plane(_rounded(values.numpy()), _rounded(slack.numpy()), At(*(round(end, 6) for end in ends)))


def _corner(teacher: verify.Network, student: verify.Network, ball: verify.Region, witness: Tensor) -> Tensor:
    """The input `(1, d)` that the search finds for the witness's class with the opposite sign, from the image."""
    single = teacher.to(dtype=torch.float32), student.to(dtype=torch.float32)
    with torch.no_grad():
        difference = torch.softmax(single[0](witness), dim=1) - torch.softmax(single[1](witness), dim=1)
    label = difference.abs().argmax(dim=1)
    lower, upper = ball.inner(torch.float32)
    start = image_points(ball)
    best = BestIterate(start)
    opposite = 2 * label + (difference.gather(1, label[:, None])[:, 0] > 0)
    measure = Confidence(teacher.classes)
    ascend(
        lambda x: measure.values(single[0](x), single[1](x)).gather(1, opposite[:, None])[:, 0],
        start, (lower, upper), steps=50, step_size=2.5 * step_unit(ball) / 50, observe=best.observe,
    )  # fmt: skip
    # The best iterate is often the image itself, which spans no plane: then the last corner of the box that was reached will do.
    moved = bool((best.points != start).any())
    return best.points if moved else torch.where(witness > start, lower, upper)


def _rounded(values: NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, 4) for value in row) for row in values.tolist())
