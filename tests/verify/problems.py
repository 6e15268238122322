"""Problems of two networks and their subproblems, as several tests build them."""

import torch
from torch import Tensor

from verify import METHODS, Options, Region, ReluNetwork
from verify.attained.ascent import image_points
from verify.attained.incumbent import Incumbent
from verify.joint.bound import JointBound
from verify.joint.problem import Problem
from verify.measures.confidence import Confidence
from verify.measures.subproblem import Subproblems
from verify.network import read_pair

# Where `verify` asks for its compiled kernels: tests replace it to see the tensor code.
KERNELS = ("verify.passes.native.library.library",)


def problem_of(teacher: ReluNetwork, student: ReluNetwork, region: Region, **options: object) -> Problem:
    """The largest difference of both networks' confidences over the regions."""
    pair = read_pair(teacher, student, region)
    return Problem(pair, region, Confidence(pair[0].classes), Options(**options))


def images_of(problem: Problem) -> Incumbent:
    """The images as the best inputs met so far."""
    return Incumbent.of(problem.networks, problem.measure, problem.region, image_points(problem.region))


def crown_queries(problem: Problem) -> Tensor:
    """Bounds `(n, queries)` by CROWN."""
    nothing = torch.ones((len(problem.region), problem.measure.queries), dtype=torch.float64)
    return METHODS["crown"].core(problem, nothing, images_of(problem)).queries


def every_query(joint: JointBound) -> Subproblems:
    """Every query of every image over its whole region."""
    image, query = torch.ones((len(joint.region), joint.measure.queries)).nonzero(as_tuple=True)
    return joint.root(image, query, joint.problem.crown)


def query_values(problem: Problem, points: Tensor) -> Tensor:
    """`(n, m, queries)`: every query's value at points `(n, m, d)`, number `2 class + sign`."""
    teacher, student = (network(points).softmax(-1) for network in problem.networks)
    return torch.stack((teacher - student, student - teacher), dim=-1).flatten(-2)


def label_and_sign(subproblems: Subproblems) -> list[tuple[int, int]]:
    """Class and sign of each, 0 for the teacher's confidence over the student's."""
    return [divmod(query, 2) for query in subproblems.query.tolist()]
