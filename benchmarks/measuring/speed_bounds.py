"""Speed of the searches for EMPLB, of every bounding method, and of branch and bound in nodes a second."""

from __future__ import annotations

import torch

import verify
from benchmarks.measuring.cells import Setting
from benchmarks.measuring.record import Row, Task, timed
from benchmarks.measuring.speed_effort import Effort
from faithkd import metrics
from verify.attained.search import paper_search, targeted_search
from verify.measures.confidence import Confidence
from verify.network import read_pair

# Images for a method in a full and in a quick run; cheap ones need many to be timed.
METHODS = {
    "interval": (1000, 50), "crown-boxes": (1000, 50), "crown": (1000, 50), "alpha-crown": (200, 10), "joint": (200, 10),
    "complete": (200, 10), "lp-boxes": (20, 2), "lp": (20, 2), "milp": (10, 1), "minlp": (10, 1),
}  # fmt: skip
GAP = 0.01


def search_tasks(effort: Effort) -> list[Task]:
    """Images a second of each search at MNIST 0.1."""
    setting = Setting("mnist", "fd", "0.1", effort.of(1000, 50))
    kinds = ("paper: 5 starts of 50 steps", "targeted: open queries, 3 starts of 60 steps", "agreement: 50 steps")
    return [
        Task({"figure": "search", "search": kind, **setting.key}, search, (kind, setting, effort.device))
        for kind in kinds
    ]


def method_tasks(effort: Effort) -> list[Task]:
    """Images a second and the mean gap of every method at MNIST 0.1, both searches and the cheaper methods of its chain included."""
    timeout = effort.of(10.0, 1.0)
    tasks = []
    for name in METHODS:
        setting = Setting("mnist", "fd", "0.1", effort.of(*METHODS[name]))
        key = {"figure": "methods", "method": name, **setting.key, "timeout": timeout}
        tasks.append(Task(key, bounded, (name, setting, timeout, effort.device)))
    return tasks


def node_tasks(effort: Effort) -> list[Task]:
    """Nodes a second of `complete` where branching does all the work."""
    timeout = effort.of(2.0, 1.0)
    settings = [
        Setting(dataset, "fd", eps, effort.of(50, 5))
        for dataset, eps in (
            ("mnist", "0.1"),
            ("mnist", "0.2"),
            ("fashion-mnist", "8/255"),
            ("fashion-mnist", "20/255"),
        )
    ]
    return [
        Task(
            {"figure": "nodes", **setting.key, "timeout": timeout},
            bounded,
            ("complete", setting, timeout, effort.device),
        )
        for setting in settings
    ]


def bounded(method: str, setting: Setting, timeout: float, device: str) -> Row:
    """Time and mean interval of a method."""
    problem = setting.problem(device=device)

    def compute() -> Row:
        result = verify.faithfulness(*problem, method=method, gap=GAP, timeout=timeout)
        return {
            **{name: float(getattr(result, name).mean()) for name in ("emplb", "faithub", "gap")},
            "closed": result.status.count("closed"),
            "nodes": int(result.nodes.sum()),
        }

    row = timed(compute)
    rates = {"images_a_second": setting.images / row["seconds"]}
    if method == "complete":
        rates["nodes_a_second"] = row["nodes"] / row["seconds"]
    return {**row, **{name: round(rate, 3) for name, rate in rates.items()}}


def search(kind: str, setting: Setting, device: str) -> Row:
    """Time of one search, and what it found: the mean of the largest differences, or the share of images on which both agree."""
    teacher, student, images, eps = setting.problem(device=device)
    region = verify.Region.ball(images, eps)
    pair = read_pair(teacher, student, region)
    measure = Confidence(pair[0].classes)

    def distance(points: torch.Tensor) -> float:
        one, other = (network(points.double()).softmax(dim=1) for network in pair)
        return float((one - other).abs().amax(dim=1).mean())

    def compute() -> Row:
        if kind.startswith("paper"):
            return {"found": distance(paper_search(pair, measure, region))}
        if kind.startswith("targeted"):
            return {"found": distance(targeted_search(pair, measure, region, open_queries))}
        return {"found": float(metrics.empirical_agreement(teacher, student, images, eps).every.double().mean())}

    if kind.startswith("targeted"):
        crown = verify.faithfulness(teacher, student, images, eps, method="crown")
        open_queries = (crown.gap > GAP)[:, None].expand(-1, measure.queries)
    row = timed(compute)
    return {**row, "images_a_second": round(setting.images / row["seconds"], 3)}
