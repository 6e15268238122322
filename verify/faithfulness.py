"""The interval around the largest difference of two networks, and what else is asked of bounds: `faithfulness`, `imitation`,
`logit_differences`, `bounds`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.attained.ascent import image_points
from verify.attained.incumbent import Incumbent
from verify.attained.search import paper_search, targeted_search
from verify.entry import question
from verify.errors import Unsound, Unsupported
from verify.joint.problem import Options, Outcome, Problem
from verify.measures.confidence import Confidence
from verify.methods import Method, chain_of
from verify.network import Module, read, read_pair
from verify.network.graph import Network
from verify.passes.native import library as native
from verify.region import Region, shortest
from verify.rounding import least
from verify.single.crown import crown_bounds, optimised_bounds
from verify.single.differences import DIFFERENCES
from verify.single.interval import interval_bounds
from verify.single.layers import CHUNK, LayerBounds, in_chunks


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
    teacher: Module,
    student: Module,
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
    chain, region = chain_of(method), Region.ball(images, eps, valid_range)
    networks = read_pair(teacher, student, region)
    measure = Confidence(networks[0].classes)
    problem = Problem(networks, region, measure, Options.of(options, chain[-1].timeout, limits))
    work = _Work(problem, seed if search else None)
    for step in chain:
        work.do(step, aim=step.screens or (step is chain[-1] and not any(other.screens for other in chain)))
    return work.result(time.perf_counter() - started)


def imitation(
    teacher: Module, student: Module, images: Tensor, eps: float | Tensor, delta: float, **how: object
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
def logit_differences(network: Module, region: Region, method: str = "crown") -> tuple[Tensor, Tensor]:
    """Bounds `(n, classes, classes)` over each region: `[n, i, j]` bounds `z_j - z_i` (Lamb et al. 2023, Eq. 9)."""
    if method not in DIFFERENCES:
        raise Unsupported(
            f"logit differences are bounded by one of {', '.join(DIFFERENCES)}, but the method given is {method!r}"
        )
    found = read(network, region)
    parts = [DIFFERENCES[method](found, region[start : start + CHUNK], None) for start in range(0, len(region), CHUNK)]
    lower, upper = zip(*parts, strict=True)
    return torch.cat(lower), torch.cat(upper)


@question
def bounds(network: Module, region: Region, method: str = "crown") -> LayerBounds:
    """Bounds of every layer's pre-activations, the logits last, by `interval`, `crown` or `alpha-crown`."""
    layer_methods: dict[str, Callable[[Network, Region], LayerBounds]] = {
        "interval": interval_bounds,
        "crown": lambda net, part: crown_bounds(net, part, whole=True),
        "alpha-crown": lambda net, part: optimised_bounds(net, part, crown_bounds(net, part, whole=True)),
    }
    if method not in layer_methods:
        raise Unsupported(
            f"layers are bounded by one of {', '.join(layer_methods)}, but the method given is {method!r}"
        )
    found = read(network, region)
    return in_chunks(lambda part: layer_methods[method](found, part), region)


class _Work:
    """One batch on its way through the methods of a chain: the best bounds `(n, queries)` and the best inputs so far."""

    def __init__(self, problem: Problem, seed: int | None) -> None:
        """seed: of the searches; None for none."""
        self._problem, self._seed = problem, seed
        region, measure = problem.region, problem.measure
        self._incumbent = self._met(image_points(region))
        if seed is not None:
            self._adopt(self._met(paper_search(problem.networks, measure, region, seed=seed)))
        self._paper = self._incumbent.emplb
        self._queries = self._paper.new_full((len(region), measure.queries), measure.largest)
        # Those of them that rest on no solver.
        self._outward = self._queries
        self._nodes = torch.zeros(len(region), dtype=torch.int64, device=self._paper.device)
        self._last: Outcome

    def do(self, method: Method, aim: bool) -> None:
        """One method; aim: whether its bounds tell which queries the targeted search is to maximise."""
        self._last = outcome = method.core(self._problem, self._queries, self._incumbent)
        self._queries = least(self._queries, outcome.queries)
        if method.proof == "outward":
            self._outward = least(self._outward, outcome.queries)
        if outcome.nodes is not None:
            self._nodes = self._nodes + outcome.nodes
        if outcome.incumbent is not None:
            self._adopt(outcome.incumbent)
        if aim and self._seed is not None:
            problem, open_queries = self._problem, self._queries > self._incumbent.emplb[:, None]
            points = targeted_search(problem.networks, problem.measure, problem.region, open_queries, seed=self._seed)
            self._adopt(self._met(points))

    def result(self, seconds: float) -> Faithfulness:
        """The intervals. Raises `Unsound`."""
        problem, emplb, outcome = self._problem, self._incumbent.emplb, self._last
        faithub, worst = self._queries.max(dim=1)
        if not bool((faithub >= emplb).all()):
            k = int((~(faithub >= emplb)).int().argmax())
            raise Unsound(
                f"image {k} of the batch has FAITHUB {float(faithub[k])!r} below EMPLB {float(emplb[k])!r}; this is a bug in a bound"
            )
        closed = (faithub - emplb <= problem.options.gap).tolist()
        ended = outcome.status or tuple("overflow" if over else "open" for over in problem.overflowed(faithub).tolist())
        rests_on_solver = self._outward.amax(dim=1) > faithub
        worst_class, worst_sign = problem.measure.describe(worst)
        teacher_class, student_class = (network(problem.region.center).argmax(dim=1) for network in problem.networks)
        return Faithfulness(
            emplb=emplb,
            paper_emplb=self._paper,
            faithub=faithub,
            witness=shortest(self._incumbent.witness).reshape(len(faithub), *problem.region.shape),
            worst_class=worst_class,
            worst_sign=worst_sign,
            teacher_class=teacher_class,
            student_class=student_class,
            status=tuple("closed" if c else s for c, s in zip(closed, ended, strict=True)),
            proof=tuple("solver" if s else "outward" for s in rests_on_solver.tolist()),
            nodes=self._nodes,
            seconds=torch.full_like(faithub, seconds / len(faithub)),
            root=faithub if outcome.root is None else outcome.root,
            interrupted=outcome.interrupted,
            code=native.code() if faithub.device.type == "cpu" else "tensors",
        )

    def _met(self, points: Tensor) -> Incumbent:
        return Incumbent.of(self._problem.networks, self._problem.measure, self._problem.region, points)

    def _adopt(self, incumbent: Incumbent) -> None:
        self._incumbent = self._incumbent.or_better(incumbent)
