"""The bounding methods by name, and the questions they answer: `faithfulness`, `imitation`, `logit_differences`, `bounds`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from verify.branching import complete_core
from verify.crown import crown_bounds, optimised_bounds
from verify.difference import joint_core
from verify.entry import question
from verify.errors import Unsupported
from verify.interval import LayerBounds, interval_bounds
from verify.linear import lp_boxes_core, lp_core
from verify.logits import DIFFERENCES, Differences
from verify.milp import milp_core
from verify.minlp import minlp_core
from verify.native import library as native
from verify.network import ReluNetwork, check_network, check_pair
from verify.problem import CHUNK, Alone, Options, Outcome, Problem, in_chunks
from verify.reading import POINTS
from verify.region import Region, shortest
from verify.replay import attained
from verify.rounding import least
from verify.search import image_points, paper_search, targeted_search
from verify.softmax import SIGNS, confidence_bounds, query_bounds

Network = nn.Module | ReluNetwork


class Unsound(AssertionError):
    """A FAITHUB came out below an EMPLB: one of the two is wrong, and the run must not go on."""


@dataclass(frozen=True)
class Method:
    """A bounding method.

    core: maps a problem and the best bounds so far `(n, C, 2)` to an Outcome. cheaper: the method before it in its chain, whose
    bounds it is never above. proof: what it rests on, `outward` (rounding covered) or `solver` (within a solver's tolerances).
    timeout: seconds an image unless told otherwise.
    """

    core: Callable[[Problem, Tensor], Outcome]
    description: str
    cheaper: str | None = None
    proof: str = "outward"
    timeout: float = 30.0


@dataclass(frozen=True)
class Faithfulness:
    """The interval `[emplb, faithub]` around the largest difference of confidences in each of `n` regions.

    emplb, faithub, seconds and paper_emplb (what the paper's search alone finds): `(n,)` float64. witness: `(n, *shape)`, inputs
    that attain emplb, float32 unless a region holds no float32 input. worst_class, worst_sign: the query where faithub is attained,
    +1 for `p_t - p_s`. teacher_class, student_class: the decisions at the image. status: `closed` (gap reached), `open` (the method
    ended above it), the limit that ended it, or `overflow` (numbers beyond what can be computed with: nothing was proved). proof:
    `outward` or `solver`. nodes: of branch and bound. root: faithub before any split, `(n,)`; the same as faithub where the method
    does not branch. interrupted: whether Ctrl-C ended the work before its limits did. code: what ran the two hot loops, `tensors` or
    `compiled for` an instruction set.
    """

    emplb: Tensor
    paper_emplb: Tensor
    faithub: Tensor
    witness: Tensor
    worst_class: Tensor
    worst_sign: Tensor
    teacher_class: Tensor
    student_class: Tensor
    status: tuple[str, ...]
    proof: tuple[str, ...]
    nodes: Tensor
    seconds: Tensor
    root: Tensor
    interrupted: bool = False
    code: str = "tensors"

    @property
    def gap(self) -> Tensor:
        """`faithub - emplb`, `(n,)`."""
        return self.faithub - self.emplb

    def summary(self) -> dict[str, object]:
        """Means and standard deviations over the images, and counts of each status."""
        values = {"emplb": self.emplb, "faithub": self.faithub, "gap": self.gap}
        statistics = {name: {"mean": float(v.mean()), "std": float(v.std(correction=0))} for name, v in values.items()}
        counts = {status: self.status.count(status) for status in sorted(set(self.status))}
        return {"images": len(self.emplb), **statistics, "status": counts, "seconds": float(self.seconds.sum())}


@question
def faithfulness(
    teacher: Network,
    student: Network,
    images: Tensor,
    eps: float | Tensor,
    *,
    valid_range: tuple[float, float] | None = (0.0, 1.0),
    method: str = "complete",
    search: bool = True,
    seed: int = 0,
    options: Options | None = None,
    **limits: object,
) -> Faithfulness:
    """EMPLB and FAITHUB of each image (Lamb et al. 2023): `EMPLB <= max over the ball of ||p_t - p_s||_inf <= FAITHUB`.

    images: `(n, *shape)` in the networks' input units; eps: the radius in the same units, a number or one a channel. valid_range: what
    the ball is cut with, None for nothing. method: a name of METHODS. search: False leaves only the image itself as witness.
    limits: the fields of `Options` by name (`gap`, `timeout`, `max_nodes`, `solver`, ...). Raises `Unsupported` for what a user
    can mend, `Unsound` if a FAITHUB is below an EMPLB. Ctrl-C ends the work with what is proved by then, and sets `interrupted`.
    """
    started = time.perf_counter()
    chain = chain_of(method)
    problem = prepare(
        teacher, student, Region.ball(images, eps, valid_range), Options.of(options, METHODS[method].timeout, limits)
    )
    if search:
        adopt(problem, paper_search(problem.teacher, problem.student, problem.region, seed=seed))
    paper = problem.emplb
    queries = outward = problem.emplb.new_ones((len(images), problem.classes, 2))
    nodes = torch.zeros(len(images), dtype=torch.int64, device=queries.device)
    for name in chain:
        outcome = METHODS[name].core(problem, queries)
        queries = least(queries, outcome.queries)
        if METHODS[name].proof == "outward":
            outward = least(outward, outcome.queries)
        if outcome.nodes is not None:
            nodes = nodes + outcome.nodes
        if outcome.witness is not None:
            adopt(problem, outcome.witness)
        if search and (name == "crown" or (name == method and "crown" not in chain)):
            open_queries = queries > problem.emplb[:, None, None]
            adopt(problem, targeted_search(problem.teacher, problem.student, problem.region, open_queries, seed=seed))
    result = _result(problem, paper, queries, outward, outcome.status, nodes, time.perf_counter() - started)
    return replace(
        result, interrupted=outcome.interrupted, root=result.faithub if outcome.root is None else outcome.root
    )


def imitation(
    teacher: Network, student: Network, images: Tensor, eps: float | Tensor, delta: float, **how: object
) -> tuple[str, ...]:
    """Is the student an (eps, delta)-faithful imitator at each image (Lamb et al. 2023, Definition 2): proved, refuted, undecided.

    how: the keywords of `faithfulness`. Raises `Unsupported` for a delta outside [0, 1].
    """
    if not 0 <= delta <= 1:
        raise Unsupported(f"delta must be a difference of confidences in [0, 1], but is {delta}")
    result = faithfulness(teacher, student, images, eps, delta=delta, **how)  # type: ignore[arg-type]
    return tuple(
        "proved" if upper <= delta else "refuted" if lower > delta else "undecided"
        for lower, upper in zip(result.emplb.tolist(), result.faithub.tolist(), strict=True)
    )


@question
def logit_differences(network: Network, region: Region, method: str = "crown") -> tuple[Tensor, Tensor]:
    """Bounds `(n, classes, classes)` over each region: `[n, i, j]` bounds `z_j - z_i` (Lamb et al. 2023, Eq. 9)."""
    if method not in DIFFERENCES:
        raise Unsupported(
            f"logit differences are bounded by one of {', '.join(DIFFERENCES)}, but the method given is {method!r}"
        )
    relu_network = _read(network, region)
    parts = [
        DIFFERENCES[method](relu_network, region[start : start + CHUNK], None) for start in range(0, len(region), CHUNK)
    ]
    lower, upper = zip(*parts, strict=True)
    return torch.cat(lower), torch.cat(upper)


@question
def bounds(network: Network, region: Region, method: str = "crown") -> LayerBounds:
    """Bounds of every layer's pre-activations, the logits last, by `interval`, `crown` or `alpha-crown`."""
    layer_methods: dict[str, Callable[[ReluNetwork, Region], LayerBounds]] = {
        "interval": interval_bounds,
        "crown": crown_bounds,
        "alpha-crown": lambda net, part: optimised_bounds(net, part, crown_bounds(net, part)),
    }
    if method not in layer_methods:
        raise Unsupported(
            f"layers are bounded by one of {', '.join(layer_methods)}, but the method given is {method!r}"
        )
    relu_network = _read(network, region)
    return in_chunks(lambda part: layer_methods[method](relu_network, part), region)


def chain_of(method: str) -> list[str]:
    """The methods whose bounds `method` starts from, cheapest first, and itself."""
    if method not in METHODS:
        raise Unsupported(f"the method must be one of {', '.join(METHODS)}, but is {method!r}")
    chain = [method]
    while (cheaper := METHODS[chain[0]].cheaper) is not None:
        chain.insert(0, cheaper)
    return chain


def prepare(teacher: Network, student: Network, region: Region, options: Options) -> Problem:
    """Read and check the two networks; the image itself is the first witness."""
    pair = _read(teacher, region), _read(student, region)
    check_pair(*pair)
    points = region.inside(image_points(region))
    emplb = attained(*pair, points).flatten(1).amax(dim=1).clamp(min=0)
    return Problem(*pair, region, options, emplb, points)


def adopt(problem: Problem, points: Tensor) -> None:
    """Take over as witnesses those `points` `(n, d)` that are proved to attain more than the present ones."""
    points = problem.region.inside(points)
    assert bool(problem.region.contains(points).all()), "a witness lies outside its region"
    value = attained(problem.teacher, problem.student, points).flatten(1).amax(dim=1)
    better = value > problem.emplb
    problem.emplb = torch.where(better, value, problem.emplb)
    problem.witness = torch.where(better[:, None], points, problem.witness)


def _by_differences(differences: Differences) -> Callable[[Problem, Tensor], Outcome]:
    """The core of a method that bounds each network's logit differences alone: Eq. 10 and 11."""

    def core(problem: Problem, best: Tensor) -> Outcome:
        teacher_layers, student_layers = problem.layers()
        queries = []
        for start in range(0, len(problem.region), CHUNK):
            part = slice(start, start + CHUNK)
            region = problem.region[part]
            teacher = differences(problem.teacher, region, teacher_layers[part])
            student = differences(problem.student, region, student_layers[part])
            queries.append(query_bounds(*confidence_bounds(*teacher), *confidence_bounds(*student)))
        return Outcome(torch.cat(queries))

    return core


def _crown_core(problem: Problem, best: Tensor) -> Outcome:
    return _alone(problem.crown())


def _alpha_core(problem: Problem, best: Tensor) -> Outcome:
    return _alone(problem.tight())


def _alone(bounds: Alone) -> Outcome:
    """Eq. 10 and 11 from the logit differences of each network alone; `d[i, j] = -d[j, i]`."""
    teacher, student = (confidence_bounds(-upper.transpose(1, 2), upper) for upper in bounds.differences)
    return Outcome(query_bounds(*teacher, *student))


def _interval_core(problem: Problem, best: Tensor) -> Outcome:
    teacher = DIFFERENCES["interval"](problem.teacher, problem.region, None)
    student = DIFFERENCES["interval"](problem.student, problem.region, None)
    return Outcome(query_bounds(*confidence_bounds(*teacher), *confidence_bounds(*student)))


def _result(
    problem: Problem,
    paper: Tensor,
    queries: Tensor,
    outward: Tensor,
    stopped: tuple[str, ...] | None,
    nodes: Tensor,
    seconds: float,
) -> Faithfulness:
    faithub, worst = queries.flatten(1).max(dim=1)
    if not bool((faithub >= problem.emplb).all()):
        k = int((~(faithub >= problem.emplb)).int().argmax())
        raise Unsound(
            f"image {k} of the batch has FAITHUB {float(faithub[k])!r} below EMPLB {float(problem.emplb[k])!r}; this is a bug in a bound"
        )
    n = len(faithub)
    closed = (faithub - problem.emplb <= problem.options.gap).tolist()
    ended = stopped or tuple("overflow" if over else "open" for over in problem.overflowed(faithub).tolist())
    rests_on_solver = outward.flatten(1).amax(dim=1) > faithub
    center = problem.region.center
    return Faithfulness(
        emplb=problem.emplb,
        paper_emplb=paper,
        faithub=faithub,
        witness=shortest(problem.witness).reshape(n, *problem.region.shape),
        worst_class=worst // 2,
        worst_sign=torch.tensor(SIGNS, device=worst.device)[worst % 2],
        teacher_class=problem.teacher(center).argmax(dim=1),
        student_class=problem.student(center).argmax(dim=1),
        status=tuple("closed" if c else s for c, s in zip(closed, ended, strict=True)),
        proof=tuple("solver" if s else "outward" for s in rests_on_solver.tolist()),
        nodes=nodes,
        seconds=torch.full_like(faithub, seconds / n),
        root=faithub,
        code=native.code() if problem.region.center.device.type == "cpu" else "tensors",
    )


def _read(network: Network, region: Region) -> ReluNetwork:
    points = region.samples(POINTS) if isinstance(network, nn.Module) else None
    read = ReluNetwork.from_module(network, region.shape, points)
    check_network(read)
    if read.input_size != region.center.shape[1]:
        raise Unsupported(
            f"the network takes {read.input_size} inputs, but an image of shape {region.shape} has {region.center.shape[1]}"
        )
    return read.to(device=region.center.device)


METHODS: dict[str, Method] = {
    "interval": Method(_interval_core, "interval arithmetic of each logit difference"),
    "crown-boxes": Method(_by_differences(DIFFERENCES["crown-boxes"]), "CROWN logit boxes, Eq. 9-11 as printed"),
    "crown": Method(_crown_core, "CROWN of each logit difference", cheaper="crown-boxes"),
    "alpha-crown": Method(_alpha_core, "CROWN with optimised slopes", cheaper="crown"),
    "lp-boxes": Method(lp_boxes_core, "the linear program's logit boxes, Eq. 9-11 as printed"),
    "lp": Method(lp_core, "the linear program of each logit difference", cheaper="crown"),
    "milp": Method(milp_core, "the exact program of each logit difference", cheaper="lp", proof="solver"),
    "joint": Method(joint_core, "both networks on the shared input at once, no branching", cheaper="alpha-crown"),
    "complete": Method(
        complete_core, "`joint` inside branch and bound, to a gap or a limit", cheaper="joint", timeout=10.0
    ),
    "minlp": Method(minlp_core, "the pair's whole program by SCIP", cheaper="alpha-crown", proof="solver"),
}
