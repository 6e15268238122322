"""How far a run is: what is recorded, and what the parts that are being worked on report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faithkd.runs.parts import Part
from faithkd.runs.records import Certificate
from verify.joint.problem import Progress


@dataclass(frozen=True)
class Step:
    """The state of a run at one moment; an image counts once a radius.

    done: images that need no more work, of `total`; before: those of earlier sessions. unclosed: recorded images whose interval is
    wider than the gap. nodes: of branch and bound in this session. emplb, faithub: the mean interval at the radius `eps`, where
    something has just happened.
    """

    done: int
    total: int
    before: int
    unclosed: int
    nodes: int
    eps: float
    emplb: float
    faithub: float


class Tally:
    """Sums over what is proved so far, by radius, and over the parts in work."""

    def __init__(self, total: int, certificates: Sequence[Certificate]) -> None:
        self._total, self._before = total, len(certificates)
        self._done = self._unclosed = self._nodes = 0
        self._sums: dict[float, tuple[int, float, float]] = {}
        self._finished: set[Part] = set()
        self._working: dict[Part, Progress] = {}
        self._add(certificates)

    def finished(self, part: Part, certificates: Sequence[Certificate]) -> Step:
        """The state when a part is recorded."""
        self._finished.add(part)
        self._working.pop(part, None)
        self._add(certificates)
        self._nodes += sum(line.nodes for line in certificates)
        return self._step(part.eps)

    def within(self, part: Part, method: Progress) -> Step:
        """The state when the method reports from inside a part; a report may arrive after the part's own end."""
        if part not in self._finished:
            self._working[part] = method
        return self._step(part.eps)

    def _add(self, certificates: Sequence[Certificate]) -> None:
        self._done += len(certificates)
        self._unclosed += sum(line.status != "closed" for line in certificates)
        for line in certificates:
            count, emplb, faithub = self._sums.get(line.eps, (0, 0.0, 0.0))
            self._sums[line.eps] = count + 1, emplb + line.emplb, faithub + line.faithub

    def _step(self, eps: float) -> Step:
        working = self._working.values()
        count, emplb, faithub = self._sums.get(eps, (0, 0.0, 0.0))
        for method in (method for part, method in self._working.items() if part.eps == eps):
            count, emplb, faithub = (
                count + method.total, emplb + method.total * method.emplb, faithub + method.total * method.faithub,
            )  # fmt: skip
        return Step(
            done=self._done + sum(method.images for method in working),
            total=self._total,
            before=self._before,
            unclosed=self._unclosed,
            nodes=self._nodes + sum(method.nodes for method in working),
            eps=eps,
            emplb=emplb / count,
            faithub=faithub / count,
        )
