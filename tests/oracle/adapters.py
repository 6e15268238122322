"""The one place that knows where `verify` keeps the parts that are checked: networks, questions, and the parts of a proof."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor, nn

import verify
from tests.oracle.cases import Case, Floats, Weights
from verify.attained.ascent import image_points
from verify.attained.incumbent import Incumbent
from verify.branching.choice import split
from verify.errors import Unsound
from verify.joint.bound import JointBound
from verify.joint.problem import Options, Problem
from verify.joint.tightening import Tightening
from verify.measures.confidence import Confidence
from verify.measures.head import in_order
from verify.measures.measure import Measure
from verify.measures.softmax import lse_bounds
from verify.measures.subproblem import Layout, Subproblems
from verify.methods import METHODS, chain_of
from verify.network import read_pair
from verify.passes.bound import Cut
from verify.passes.optimise import Schedule
from verify.rounding import outward

__all__ = ["METHODS", "Rows", "Unsound", "narrow", "network", "queries"]

# What the checks call rows: subproblems of the largest difference of confidences.
Rows = Subproblems
# What a bound that rests on a solver may miss the truth by.
SOLVER_TOLERANCE = 1e-5


@lru_cache(maxsize=8)
def network(weights: Weights) -> verify.ReluNetwork:
    """A network that `verify` takes as it is, or reads from a module where its inputs are scaled."""
    if weights.scaling is not None:
        return verify.ReluNetwork.from_module(module(weights), (weights.weights[0].shape[1],))
    biases = tuple(torch.from_numpy(bias.copy()) for bias in weights.biases)
    return verify.ReluNetwork(
        tuple(torch.from_numpy(weight.copy()) for weight in weights.weights),
        biases,
        tuple(torch.zeros_like(bias) for bias in biases),
    )


def module(weights: Weights) -> nn.Sequential:
    """The same as a torch module in float32."""
    layers: list[nn.Module] = [nn.Flatten(), *([] if weights.scaling is None else [Scaling(*weights.scaling)])]
    for weight, bias in zip(weights.weights, weights.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Scaling(nn.Module):
    """Inputs times a number and moved by one, each its own."""

    def __init__(self, scale: Floats, shift: Floats) -> None:
        super().__init__()
        self.register_buffer("scale", torch.from_numpy(scale).float())
        self.register_buffer("shift", torch.from_numpy(shift).float())

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift."""
        return self.scale, self.shift

    def forward(self, x: Tensor) -> Tensor:
        """`(n, inputs)` to the same."""
        return x * self.scale + self.shift


def question(case: Case) -> tuple[Tensor, float | Tensor]:
    """Images and radius as `verify` takes them."""
    eps = case.eps if isinstance(case.eps, float) else torch.from_numpy(case.eps)
    return torch.from_numpy(case.images), eps


def tolerance(method: str) -> float:
    """What the method's label allows."""
    return SOLVER_TOLERANCE if METHODS[method].proof == "solver" else 0.0


def region(case: Case) -> verify.Region:
    """The region of a case."""
    images, eps = question(case)
    return verify.Region.ball(images, eps, case.valid_range)


def queries(case: Case, method: str, limits: dict[str, float]) -> Floats:
    """Bounds `(n, C, 2)` of every query by a method and the cheaper ones before it, without any search."""
    problem = problem_of(case, limits)
    measure, where = problem.measure, problem.region
    incumbent = Incumbent.of(problem.networks, measure, where, image_points(where))
    best = incumbent.emplb.new_ones((len(where), measure.queries))
    for step in chain_of(method):
        best = torch.minimum(best, step.core(problem, best, incumbent).queries)
    label, sign = label_and_sign(measure, torch.arange(measure.queries))
    found: Floats = np.full((len(where), measure.classes, 2), np.nan)
    found[:, label.numpy(), sign.numpy()] = best.numpy()
    return found


def problem_of(case: Case, limits: dict[str, float] | None = None) -> Problem:
    """The problem that every method is given."""
    where = region(case)
    networks = read_pair(network(case.teacher), network(case.student), where)
    return Problem(networks, where, Confidence(networks[0].classes), Options(**(limits or {})))  # type: ignore[arg-type]


def measure_of(rows: Rows) -> Confidence:
    """The measure of rows, which keep two differences a class and two LSEs."""
    return Confidence(rows.layout.own // 2 - 1)


def label_and_sign(measure: Measure, query: Tensor) -> tuple[Tensor, Tensor]:
    """The class of queries `(n,)`, and 0 where they ask for `p_t - p_s`, 1 for `p_s - p_t`."""
    label, direction = measure.describe(query)
    return label, (1 - direction) // 2


def asked(rows: Rows) -> tuple[Tensor, Tensor]:
    """The class and the sign `(n,)` of every row."""
    return label_and_sign(measure_of(rows), rows.query)


@dataclass(frozen=True)
class Bounds:
    """A linear bound of the head: the value and its error `(n,)`, and coefficients `(n, C)` of (up, down)."""

    value: Floats
    error: Floats
    up: Floats
    down: Floats


def head_rows(label: Tensor, sign: Tensor, d_lower: Tensor, d_upper: Tensor) -> Rows:
    """Rows without hidden neurons: boxes `(n, 2, C)` of the teacher's and the student's `z_j - z_label`, rounded outward."""
    classes = d_lower.shape[2]
    is_label = torch.nn.functional.one_hot(label, classes).to(torch.bool)[:, None]
    d_lower, d_upper = d_lower.masked_fill(is_label, 0.0), d_upper.masked_fill(is_label, 0.0)
    r_lower, r_upper = lse_bounds(d_lower, d_upper, is_label)
    low, high = (torch.cat((d.flatten(1), r), dim=1) for d, r in ((d_lower, r_lower), (d_upper, r_upper)))
    boxes = outward(low, upper=False), outward(high, upper=True)
    return Rows(torch.zeros_like(label), 2 * label + sign, *boxes, Layout(0, low.shape[1], 0))


def with_lse(rows: Rows, low: Tensor, high: Tensor) -> Rows:
    """The rows with other boxes `(n, 2)` of the teacher's and the student's LSE, where these are narrower."""
    end = rows.layout.measure.stop
    return rows.narrowed(slice(end - 2, end), outward(low, upper=False), outward(high, upper=True))


def head_start(rows: Rows, up: Tensor, down: Tensor) -> Tensor:
    """Free numbers `(n, 2 + 3 C)` with which the head touches at these differences."""
    _, sign = asked(rows)
    # Differences are logits in which the label has 0.
    return measure_of(rows).start(rows, *in_order(up, down, sign))


def head(rows: Rows, free: Tensor) -> Bounds:
    """The head's bound of `p_up - p_down` at any free numbers."""
    own = measure_of(rows).objective(rows, torch.float64)
    point = own.at(free)
    label, sign = asked(rows)
    # The label's own logit has what the differences' coefficients sum to; its difference is 0, and so is the coefficient of that.
    up, down = (forms.scatter(1, label[:, None], 0.0) for forms in in_order(point.forms[0], point.forms[1], sign))
    return Bounds(*(t.numpy() for t in (point.value, own.error(point), up, down)))


def narrow(rows: Rows, level: Tensor) -> tuple[Rows, Tensor]:
    """Boxes cut to where the query can exceed the level `(n,)`, and which rows are empty then."""
    narrowed, hopeless = measure_of(rows).narrow(rows, level)
    return narrowed, hopeless | narrowed.empty


def lse_box(rows: Rows) -> tuple[Floats, Floats]:
    """`(n, 2)` each: what is known of the teacher's and of the student's LSE."""
    return tuple(t[:, rows.layout.measure][:, -2:].double().numpy() for t in (rows.lower, rows.upper))  # type: ignore[return-value]


def difference_box(rows: Rows) -> tuple[Floats, Floats]:
    """`(n, 2, C)` each: what is known of the teacher's and of the student's `z_j - z_label`."""
    sides = [t[:, rows.layout.measure][:, :-2].unflatten(1, (2, -1)) for t in (rows.lower, rows.upper)]
    return tuple(side.double().numpy() for side in sides)  # type: ignore[return-value]


def input_box(parts: Cuts) -> tuple[Floats, Floats]:
    """`(n, d)` each: the box of inputs that every row covers."""
    ground = parts.joint.ground(parts.rows)
    return ground.region.lower[ground.index].numpy(), ground.region.upper[ground.index].numpy()


def hidden_box(rows: Rows) -> tuple[Floats, Floats]:
    """`(n, width)` each: what is known of the hidden neurons, the teacher's layers and then the student's."""
    neurons = rows.layout.neurons
    return rows.lower[:, neurons].double().numpy(), rows.upper[:, neurons].double().numpy()


@dataclass(frozen=True)
class Cuts:
    """The parts of a joint proof for one case: every query of every image over its whole region."""

    joint: JointBound
    rows: Rows

    @classmethod
    def of(cls, case: Case) -> Cuts:
        """Rows from the bounds with optimised slopes."""
        problem = problem_of(case)
        joint = JointBound(problem)
        image, query = torch.ones((len(problem.region), problem.measure.queries)).nonzero(as_tuple=True)
        return cls(joint, joint.root(image, query, problem.tight))

    @cached_property
    def asked(self) -> tuple[Tensor, Tensor]:
        """The class and the sign `(n,)` of every row."""
        return asked(self.rows)

    @property
    def classes(self) -> int:
        """Of both networks."""
        return self.joint.measure.classes

    def searched(self, steps: int) -> tuple[Tensor, Tensor]:
        """Slopes and free numbers that a search of so many steps ends with."""
        found = self.joint.search(self.rows, *self.joint.start(self.rows), Schedule(steps=steps))
        return found.numbers, found.free

    def cut(self, slopes: Tensor, free: Tensor) -> Cut:
        """Linear functions of the input that are at least `p_up - p_down` in their rows' boxes."""
        return self.joint.cut(self.rows, slopes, free)

    def narrowed(self, cut: Cut, level: Tensor) -> Cuts:
        """Boxes where the cut is at least the level, those of the inputs where rows carry them."""
        return Cuts(self.joint, Tightening(self.joint)(self.rows, cut, level))

    def split(self, source: torch.Generator) -> Cuts:
        """One random side of one random split of every row."""
        low, high = self.rows.lower, self.rows.upper
        wide = (high > low).float() + 1e-9
        variable = torch.multinomial(wide, 1, generator=source)[:, 0]
        share = 0.3 + 0.4 * torch.rand(len(variable), generator=source)
        ends = [t.gather(1, variable[:, None])[:, 0] for t in (low, high)]
        inside = (variable < self.rows.layout.width) & (ends[0] < 0) & (ends[1] > 0)
        value = torch.where(inside, torch.zeros_like(share), ends[0] + share * (ends[1] - ends[0]))
        children = split(self.rows, variable, value)
        take = torch.rand(len(variable), generator=source) < 0.5
        lower, upper = (
            torch.where(take[:, None], *(getattr(child, name) for child in children)) for name in ("lower", "upper")
        )
        return Cuts(self.joint, self.rows.boxed(lower, upper))
