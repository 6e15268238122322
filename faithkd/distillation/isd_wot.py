"""Iterative self-distillation without a robust teacher: KDIGA repeated, each student the teacher of the next."""

from faithkd.distillation import kdiga
from faithkd.distillation.method import Method

OPTIONS = {"loops": 6, "later_rate": 0.01}

METHOD = Method(
    name="isd-wot",
    summary="kdiga from itself again and again, after plain training",
    loss=kdiga.loss,
    needs=kdiga.METHOD.needs,
    adversary=None,
    defaults=kdiga.METHOD.defaults,
    options=OPTIONS,
    teachers=0,
    loops="plain",
    citation=kdiga.METHOD.citation,
)
