"""The training methods by name: those of the package, and those that a user's own module registers."""

from __future__ import annotations

from faithkd.distillation import (
    akd,
    akd2,
    ard,
    at,
    at_ffgsm,
    fd,
    iad_1,
    iad_1_down,
    iad_2,
    igam,
    isd_wit,
    isd_wot,
    kdiga,
    kdiga_ard_a,
    kdiga_ard_c,
    kdiga_fgsm,
    rslad,
    sd,
    st,
    trades,
)
from faithkd.distillation.method import INPUTS, Method
from faithkd.errors import UserError

STUDENTS = (
    sd, ard, rslad, fd, akd, akd2, iad_1, iad_1_down, iad_2, kdiga, kdiga_fgsm, kdiga_ard_c, kdiga_ard_a, isd_wot, isd_wit, igam
)  # fmt: skip
BASELINES = (st, at, at_ffgsm, trades)
METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in STUDENTS}
TEACHERS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in BASELINES}


def register(method: Method) -> Method:
    """Make a method known under its name, for recipes and the command line; returns it.

    Raises `UserError` when the name is taken by another method, or the method needs what training does not give.
    """
    known = TEACHERS | METHODS
    if known.get(method.name, method) != method:
        raise UserError(f"a method {method.name!r} is known already; give yours another name")
    unknown = [] if callable(method.needs) else sorted(set(method.needs) - set(INPUTS))
    if unknown:
        raise UserError(
            f"the method {method.name} needs {', '.join(unknown)}, which training does not give; it gives {', '.join(INPUTS)}"
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
