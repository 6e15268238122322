"""What the rest needs to know of a bounding method, and nothing else asks for one by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from verify.attained.incumbent import Incumbent
from verify.errors import Unsupported
from verify.joint.problem import Outcome, Problem

Core = Callable[[Problem, Tensor, Incumbent], Outcome]


@dataclass(frozen=True)
class Method:
    """A bounding method.

    core: maps a problem, the best bounds so far `(n, queries)` and the best inputs met to an Outcome. cheaper: the method before it in its
    chain, whose bounds it is never above. proof: what it rests on, `outward` (rounding covered) or `solver` (within a solver's
    tolerances). timeout: seconds an image unless told otherwise. solver: the one that it hands programs to, `any` of the user's choice, or
    None where there are no programs; binaries: whether they have some.
    slow: whether an image takes so long that few make a piece of work. screens: whether its bounds tell which queries a search should aim
    at.
    """

    name: str
    core: Core
    description: str
    cheaper: str | None = None
    proof: str = "outward"
    timeout: float = 30.0
    solver: str | None = None
    binaries: bool = False
    slow: bool = False
    screens: bool = False


METHODS: dict[str, Method] = {}


def register(method: Method) -> None:
    """Make a method known by its name."""
    METHODS[method.name] = method


def chain_of(method: str) -> list[Method]:
    """The methods whose bounds `method` starts from, cheapest first, and itself. Raises `Unsupported` for an unknown name."""
    if method not in METHODS:
        raise Unsupported(f"the method must be one of {', '.join(METHODS)}, but is {method!r}")
    chain = [METHODS[method]]
    while (cheaper := chain[0].cheaper) is not None:
        chain.insert(0, METHODS[cheaper])
    return chain
