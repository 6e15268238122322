"""Other programs on the same queries in the same run.

Exact: the largest `z_j - z_i` of one network over a region, i the class of the image and j the runner-up, by Gurobi, CBC and HiGHS on
the exact program, beside the linear bounds of this project and of auto_LiRPA where it can be imported. Pair: the largest
difference of confidences, by the exact programs of both networks with each solver, by SCIP on the whole program, and by `complete`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import verify
from benchmarks.measuring.cells import Setting
from benchmarks.measuring.record import Row, Task, timed
from benchmarks.measuring.speed_effort import Effort
from verify import programs
from verify.network import ReluNetwork
from verify.region import Region
from verify.single.crown import crown_bounds, optimised_bounds, optimised_rows, upper_bound
from verify.single.exact import ExactRows

SOLVERS = ("gurobi", "cbc", "highs")
PAIR_METHODS = (*(("milp", solver) for solver in SOLVERS), ("minlp", "auto"), ("complete", "auto"))


def tasks(effort: Effort) -> list[Task]:
    """The exact and the pair queries, each by every program."""
    seconds = effort.of(10.0, 5.0)
    tasks = []
    for eps in ("0.05", "0.1"):
        setting = Setting("mnist", "fd", eps, effort.of(10, 2))
        key = {"figure": "peers", "query": "exact", **setting.key, "timeout": seconds}
        tasks += [Task({**key, "program": name}, row_bounds, (name, setting, seconds)) for name in ROW_BOUNDS]
        key = {"figure": "peers", "query": "pair", **setting.key, "timeout": seconds}
        tasks += [
            Task({**key, "program": method if solver == "auto" else f"{method}, {solver}"}, pair_bounds, (method, solver, setting, seconds))
            for method, solver in PAIR_METHODS
        ]  # fmt: skip
    return tasks


def pair_bounds(method: str, solver: str, setting: Setting, seconds: float) -> Row:
    """Mean interval of the pair, `seconds` an image at most."""
    problem = setting.problem()

    def compute() -> Row:
        result = verify.faithfulness(*problem, method=method, solver=solver, timeout=seconds)
        means = {name: float(getattr(result, name).mean()) for name in ("emplb", "faithub")}
        return {**means, "closed": result.status.count("closed")}

    return _unless_unavailable(compute)


def row_bounds(name: str, setting: Setting, seconds: float) -> Row:
    """Mean upper bound of the student's margin to the runner-up, the preparation of the program included."""
    _, student, images, eps = setting.problem()
    network, region = ReluNetwork.from_module(student, images.shape[1:]), Region.ball(images, eps)
    first, second = network(region.center).topk(2, dim=1).indices.T
    identity = torch.eye(network.classes, dtype=network.dtype)
    rows = (identity[second] - identity[first])[:, None]

    def compute() -> Row:
        bounds, closed = ROW_BOUNDS[name](network, region, rows, seconds)
        return {"bound": float(bounds.mean()), "closed": closed}

    return _unless_unavailable(compute)


def _crown(network: ReluNetwork, region: Region, rows: Tensor, seconds: float) -> tuple[Tensor, int]:
    return upper_bound(network, region, crown_bounds(network, region), rows)[:, 0], 0


def _alpha_crown(network: ReluNetwork, region: Region, rows: Tensor, seconds: float) -> tuple[Tensor, int]:
    layers = optimised_bounds(network, region, crown_bounds(network, region))
    return optimised_rows(network, region, layers, rows)[:, 0], 0


def _exactly(solver: str) -> Callable[[ReluNetwork, Region, Tensor, float], tuple[Tensor, int]]:
    def bounds(network: ReluNetwork, region: Region, rows: Tensor, seconds: float) -> tuple[Tensor, int]:
        layers = optimised_bounds(network, region, crown_bounds(network, region))
        found, closed = [], 0
        for k in range(len(region)):
            program = ExactRows(network, region[k : k + 1], layers[k : k + 1], solver)
            solved, _ = program.upper_bound(rows[k, 0].numpy(), programs.Limits(seconds=seconds))
            program.close()
            found.append(solved.bound)
            closed += solved.closed
        return torch.tensor(found, dtype=torch.float64), closed

    return bounds


def _lirpa(method: str) -> Callable[[ReluNetwork, Region, Tensor, float], tuple[Tensor, int]]:
    """auto_LiRPA on the same affine layers in float64, over the same boxes."""

    def bounds(network: ReluNetwork, region: Region, rows: Tensor, seconds: float) -> tuple[Tensor, int]:
        from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

        layers: list[torch.nn.Module] = []
        for weight, bias in zip(network.weights, network.biases, strict=True):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
            linear.load_state_dict({"weight": weight, "bias": bias})
            layers += [linear, torch.nn.ReLU()]
        model = BoundedModule(torch.nn.Sequential(*layers[:-1]), region.center)
        box = PerturbationLpNorm(norm=float("inf"), x_L=region.lower, x_U=region.upper)
        inputs = BoundedTensor(region.center, box)
        _, upper = model.compute_bounds(x=(inputs,), C=rows, method=method, bound_lower=False)
        return upper[:, 0].detach(), 0

    return bounds


ROW_BOUNDS: dict[str, Callable[[ReluNetwork, Region, Tensor, float], tuple[Tensor, int]]] = {
    "crown": _crown,
    "alpha-crown": _alpha_crown,
    **{f"exact program, {solver}": _exactly(solver) for solver in SOLVERS},
    "auto_LiRPA CROWN": _lirpa("CROWN"),
    "auto_LiRPA CROWN-Optimized": _lirpa("CROWN-Optimized"),
}


def _unless_unavailable(compute: Callable[[], Row]) -> Row:
    """What `compute` gives with its times; why not, where the program cannot be imported or has no licence for this size."""
    try:
        return timed(compute)
    except programs.SolverUnavailable as error:
        return {"refused": str(error)}
    except ModuleNotFoundError as error:
        return {"refused": f"{error.name} is not importable"}
