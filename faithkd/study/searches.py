"""What a study measures by search: accuracies, agreement, the paper's EMPLB, and how it depends on the number of steps.

One record for each network and kind of region, of plain values, kept in the study's folder.
"""

from __future__ import annotations

import time

import torch
from msgspec import UNSET
from torch import Tensor

import faithkd
import verify
from faithkd import data, metrics
from faithkd.data import Dataset
from faithkd.study.folder import StudyFolder
from faithkd.study.plan import REGIONS, STEPS, Plan
from faithkd.study.records import AtRadius, Counted, Mean, Search, Steps
from verify.attained.incumbent import Incumbent
from verify.attained.search import paper_search
from verify.measures.confidence import Confidence

PART = 250
"""Images that are searched at once, so that memory does not grow with their number."""


def measure(folder: StudyFolder, networks: dict[str, str], name: str, region: str) -> None:
    """Make and keep the record of one network (`teacher` or a student) on one kind of region."""
    torch.set_num_threads(1)
    plan, started = folder.plan, time.perf_counter()
    images = drawn(plan)
    teacher = faithkd.load(networks["teacher"]).to(plan.device)
    model = faithkd.load(networks[name]).to(plan.device)
    valid_range = images.valid_range if REGIONS[region] else None
    inputs, labels = images.images.to(plan.device), images.labels.to(plan.device)
    student = name != "teacher"
    radii = {}
    for label, radius in plan.labels.items():
        eps = radius * plan.std
        held = metrics.robust_accuracy(model, inputs, labels, eps, valid_range=valid_range, seed=plan.seed).shares()
        proved = verify.robustness(model, inputs, labels, eps, valid_range=valid_range, seed=plan.seed)
        radii[label] = AtRadius(
            Counted(**held),
            (proved.share("certified"), 1 - proved.share("refuted")),
            *(_beside((teacher, model), inputs, eps, valid_range, plan.seed) if student else ()),
        )
    same = metrics.decisions(teacher, inputs) == metrics.decisions(model, inputs)
    record = Search(
        network=name,
        region=region,
        images=len(images),
        accuracy=metrics.accuracy(model, inputs, labels),
        radii=radii,
        agreement=same.double().mean().item() if student else UNSET,
        steps=_steps(plan, (teacher, model), inputs, valid_range) if student else UNSET,
        seconds=round(time.perf_counter() - started, 1),
    )
    folder.save_search(record)


def drawn(plan: Plan) -> Dataset:
    """The study's images in the order of their positions."""
    images = data.load(plan.data, "test", plan.data_dir).sample(plan.images, plan.seed)
    return images.take(torch.argsort(images.positions))


def emplb(
    pair: tuple[torch.nn.Module, torch.nn.Module],
    images: Tensor,
    eps: float,
    valid_range: tuple[float, float] | None,
    *,
    steps: int,
    seed: int,
) -> Tensor:
    """EMPLB `(n,)` by the paper's search of `steps` steps and 5 starts; rounded down, so that its input attains it. eps in pixels."""
    found = []
    for part in torch.split(images, PART):
        region = verify.Region.ball(part, eps, valid_range)
        teacher, student = (
            verify.ReluNetwork.from_module(model, region.shape).to(device=part.device) for model in pair
        )
        measure, networks = Confidence(teacher.classes), (teacher, student)
        points = paper_search(networks, measure, region, steps=steps, seed=seed)
        found.append(Incumbent.of(networks, measure, region, points).emplb.cpu())
    return torch.cat(found)


def mean_and_std(values: Tensor) -> Mean:
    """Mean and standard deviation of the images."""
    return Mean(float(values.mean()), float(values.std(correction=0)))


def _beside(
    pair: tuple[torch.nn.Module, torch.nn.Module],
    images: Tensor,
    eps: float,
    valid_range: tuple[float, float] | None,
    seed: int,
) -> tuple[Counted, Mean]:
    """A student's empirical agreement with the teacher, and EMPLB."""
    agreed = metrics.empirical_agreement(*pair, images, eps, valid_range=valid_range, seed=seed).shares()
    return Counted(**agreed), mean_and_std(emplb(pair, images, eps, valid_range, steps=50, seed=seed))


def _steps(
    plan: Plan, pair: tuple[torch.nn.Module, torch.nn.Module], images: Tensor, valid_range: tuple[float, float] | None
) -> Steps:
    """EMPLB of every image for each number of steps."""
    eps = plan.labels[plan.steps_at] * plan.std
    found = {str(steps): emplb(pair, images, eps, valid_range, steps=steps, seed=plan.seed).tolist() for steps in STEPS}
    return Steps(plan.steps_at, {steps: tuple(round(value, 6) for value in values) for steps, values in found.items()})
