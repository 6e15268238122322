"""The soundness campaign finds what is planted, and nothing where nothing is."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

import verify
from benchmarks.measuring import soundness, soundness_bounds, soundness_cuts, soundness_decisions, soundness_parts
from tests.oracle import adapters
from verify.attained.incumbent import Incumbent
from verify.joint.problem import Outcome, Problem
from verify.methods import METHODS

CAMPAIGN = Path(__file__).parent.parent / "benchmarks" / "measuring" / "soundness.py"


@pytest.mark.slow
def test_a_quick_campaign_finds_nothing() -> None:
    command = [sys.executable, str(CAMPAIGN), "--quick", "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert int(ended.stdout.splitlines()[-1].split()[0].replace(",", "")) > 300


@pytest.mark.parametrize("lowered", [1e-3, 0.2])
def test_a_bound_that_is_too_low_is_found(monkeypatch: pytest.MonkeyPatch, lowered: float) -> None:
    def too_low(problem: Problem, best: Tensor, incumbent: Incumbent) -> Outcome:
        return Outcome(METHODS["complete"].core(problem, best, incumbent).queries - lowered)

    monkeypatch.setitem(METHODS, "planted", replace(METHODS["complete"], name="planted", core=too_low))
    monkeypatch.setattr(soundness_bounds, "methods", lambda *_: ["planted"])
    assert sum(soundness_bounds.bounds("steep", 0, 6)["violations"].values()) > 0


def test_a_witness_that_is_not_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = verify.faithfulness

    def boasting(*arguments: object, **how: object) -> verify.Faithfulness:
        result = honest(*arguments, **how)  # type: ignore[arg-type]
        return replace(result, emplb=result.emplb + 1e-12, faithub=result.faithub + 1, witness=result.witness + 2)

    monkeypatch.setattr(verify, "faithfulness", boasting)
    found = soundness_bounds.bounds("ordinary", 0, 2)["violations"]
    assert set(found) >= {"witness inside", "witness attains"}


def test_bounds_of_layers_that_are_too_narrow_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = verify.bounds

    def narrow(*arguments: object) -> verify.LayerBounds:
        found = honest(*arguments)  # type: ignore[arg-type]
        return verify.LayerBounds(tuple(low + 1e-11 for low in found.lower), found.upper)

    monkeypatch.setattr(verify, "bounds", narrow)
    found = soundness_bounds.differences("ordinary", 0, 6)["violations"]
    assert set(found) == {"layers interval", "layers crown", "layers alpha-crown"}


def test_a_cut_and_a_tightening_that_are_too_bold_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, narrowed = adapters.Cuts.cut, adapters.Cuts.narrowed
    monkeypatch.setattr(adapters.Cuts, "cut", lambda *a: replace(cut(*a), constant=cut(*a).constant - 0.1))
    assert soundness_cuts.cuts("ordinary", 0, 3)["violations"]["cuts"] > 0
    monkeypatch.setattr(adapters.Cuts, "cut", cut)
    monkeypatch.setattr(adapters.Cuts, "narrowed", lambda self, own, level: narrowed(self, own, level + 0.1))
    assert set(soundness_cuts.cuts("ordinary", 0, 3)["violations"]) == {"tightening"}


def test_a_head_and_a_narrowing_that_are_too_bold_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    head, narrow = adapters.head, adapters.narrow
    monkeypatch.setattr(adapters, "head", lambda *a: replace(head(*a), value=head(*a).value - 1e-6))
    assert soundness_parts.heads(3, 0, 1)["violations"]["head of 3"] > 0
    monkeypatch.setattr(adapters, "narrow", lambda rows, level: narrow(rows, level + 1e-3))
    assert soundness_parts.narrowing(3, 0, 1)["violations"]["narrowing of 3"] > 0


def test_certificates_that_hold_nothing_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def claims(status: str) -> Callable[..., verify.Decisions]:
        def answer(*arguments: object, **_: object) -> verify.Decisions:
            images = next(argument for argument in arguments if isinstance(argument, Tensor))
            return verify.Decisions((status,) * len(images), images)

        return answer

    for status in ("certified", "refuted"):
        monkeypatch.setattr(verify, "agreement", claims(status))
        monkeypatch.setattr(verify, "robustness", claims(status))
        found = soundness_decisions.decisions("ordinary", 0, 6)["violations"]
        assert set(found) == {f"agreement {status}", f"robustness {status}"}


def test_every_row_is_planned_once() -> None:
    tasks = soundness.planned(list(soundness.KINDS), list(soundness.FAMILIES), False)
    keys = [tuple(task.key.items()) for task in tasks]
    assert len(set(keys)) == len(keys)
