"""Iterative self-distillation with a robust teacher: KDIGA from it, then each student is the teacher of the next."""

from faithkd.distillation import isd_wot, kdiga
from faithkd.distillation.method import Method

METHOD = Method(
    name="isd-wit",
    summary="kdiga from a robust teacher, then from itself again and again",
    loss=kdiga.loss,
    needs=kdiga.METHOD.needs,
    adversary=None,
    defaults=kdiga.METHOD.defaults,
    options=isd_wot.OPTIONS,
    loops="teacher",
    citation=kdiga.METHOD.citation,
)
