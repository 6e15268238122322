"""The training methods by name: those of the package, and those that a user's own module registers."""

from __future__ import annotations

from faithkd.distillation import akd, akd2, ard, at, fd, iad, igam, kdiga, rslad, sd, st, trades
from faithkd.distillation.method import INPUTS, Method
from faithkd.errors import UserError

STUDENTS = (
    sd.METHOD, ard.METHOD, rslad.METHOD, fd.METHOD, akd.METHOD, akd2.METHOD, *iad.METHODS, *kdiga.METHODS, igam.METHOD
)  # fmt: skip
BASELINES = (st.METHOD, *at.METHODS, trades.METHOD)
METHODS = {method.name: method for method in STUDENTS}
TEACHERS = {method.name: method for method in BASELINES}


def register(method: Method) -> Method:
    """Make a method known under its name, for recipes and the command line; returns it.

    Raises `UserError` when the name is taken by another method, or the method needs what training does not give.
    """
    known = TEACHERS | METHODS
    if known.get(method.name, method) != method:
        raise UserError(f"a method {method.name!r} is known already; give yours another name")
    unknown = sorted(set(method.needs) - set(INPUTS))
    if unknown:
        raise UserError(
            f"the method {method.name} needs {', '.join(unknown)}, which training does not give; it gives {', '.join(INPUTS)}, and a "
            "setting has a default"
        )
    (TEACHERS if method.teachers == 0 and method.loops is None else METHODS)[method.name] = method
    return method


def find_method(name: str) -> Method:
    """The method of a name, with or without a teacher. Raises `UserError` when there is none."""
    methods = TEACHERS | METHODS
    if name not in methods:
        raise UserError(
            f"unknown method {name!r}; known are {', '.join(methods)}; one of your own is registered by a module given with --import"
        )
    return methods[name]
