"""Boxes tightened by the query's cut, against exact rational arithmetic with awkward weights."""

from fractions import Fraction
from itertools import product

import pytest
import torch

from tests.verify.problems import KERNELS, every_query, label_and_sign, problem_of
from tests.verify.rationals import awkward_network, exact_difference, exact_hidden
from verify import Region
from verify.joint.bound import JointBound
from verify.joint.tightening import Tightening
from verify.passes.optimise import Schedule


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_no_corner_of_interest_leaves_its_box(seed: int, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        for name in KERNELS:
            monkeypatch.setattr(name, lambda: None)
    teacher, student = awkward_network([3, 4, 4, 3], seed), awkward_network([3, 4, 3], seed + 300)
    images = torch.rand((1, 3), generator=torch.Generator().manual_seed(seed))
    eps = 10.0 ** -(seed % 6)
    joint = JointBound(problem_of(teacher, student, Region.ball(images, eps, None)))
    rows = every_query(joint)
    found = joint.search(rows, *joint.start(rows), Schedule(steps=15))
    points = [
        [Fraction(x) + s * Fraction(eps) for x, s in zip(images[0].tolist(), signs, strict=True)]
        for signs in product((-1, 0, 1), repeat=3)
    ]
    exact = [[exact_difference(teacher, student, point, label) for label in range(3)] for point in points]
    level = torch.tensor(
        [
            max(float(-values[label][1] if sign else values[label][0]) for values in exact) - 1e-3
            for label, sign in label_and_sign(rows)
        ],
        dtype=torch.float64,
    )
    tightened = Tightening(joint)(rows, joint.cut(rows, found.numbers, found.free), level)
    boxes, _ = joint.measure.narrow(tightened, level)
    for point, values in zip(points, exact, strict=True):
        hidden = exact_hidden(teacher, point) + exact_hidden(student, point)
        for k, (label, sign) in enumerate(label_and_sign(rows)):
            least = -values[label][1] if sign else values[label][0]
            if least > Fraction(level[k].item()) + Fraction(1, 10**12):
                for value, low, high in zip(hidden, boxes.lower[k].tolist(), boxes.upper[k].tolist(), strict=False):
                    assert Fraction(low) <= value <= Fraction(high)
