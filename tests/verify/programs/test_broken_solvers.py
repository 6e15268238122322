"""Solvers that fail: the next one is taken, or one sentence says so; no failure ever gives a bound."""

import contextlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pulp
import pytest

from tests.verify.programs.test_solvers import maximum, random_program
from verify.programs import Limits, Session, SolverUnavailable, open_session, try_out

CBC = pulp.PULP_CBC_CMD.pulp_cbc_path
PROGRAM, OBJECTIVE = random_program(1, 10, 3, binary=True)
COLUMNS = np.arange(10)


def script(text: str) -> Callable[[Path], Path]:
    """A program in place of CBC."""

    def write(folder: Path) -> Path:
        path = folder / "cbc"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return write


def foreign(folder: Path) -> Path:
    path = folder / "cbc"
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0" + bytes(200))
    path.chmod(0o755)
    return path


def plain(folder: Path) -> Path:
    (folder / "cbc").write_bytes(Path(CBC).read_bytes())
    (folder / "cbc").chmod(0o644)
    return folder / "cbc"


BROKEN = {
    "for another processor": (foreign, "cannot be run"),
    "no interpreter": (lambda folder: script("").__call__(folder).write_text("#!/no/such/shell\n") and folder / "cbc", "cannot be run"),
    "a library is missing": (script("echo cannot load a library >&2; exit 127"), "exit status 127"),
    "exit 1": (script("exit 1"), "exit status 1"),
    "killed": (script("kill -9 $$"), "signal 9"),
    "segmentation fault": (script("kill -11 $$"), "signal 11"),
    "nothing written": (script("exit 0"), "no answer"),
    "an empty answer": (script(": > program.sol"), "no answer"),
    "garbage": (script("head -c 3000 /dev/urandom > program.sol"), "no answer"),
    "garbage below a heading": (script("printf 'Optimal - objective value 3\\n 0 X0000000 what 0\\n' > program.sol"), "no answer"),
    "half a line": (script("printf 'Optimal - objective value 3\\n 0 X0000000 1' > program.sol"), "no answer"),
    "not a number": (script("printf 'Optimal - objective value nan\\n 0 X0000000 nan 0\\n' > program.sol"), "cannot be read"),
    "missing": (lambda folder: folder / "nowhere", "no CBC"),
    "may not be run": (plain, "no CBC"),
}  # fmt: skip


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """CBC is replaced by something else; words of the sentence."""
    make, words = BROKEN[request.param]
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", str(make(tmp_path)))
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    return words


def test_a_broken_cbc_is_one_sentence_and_auto_takes_the_next(broken: str, tmp_path: Path) -> None:
    with pytest.raises(SolverUnavailable, match=broken) as caught:
        maximum(PROGRAM, OBJECTIVE, "cbc")
    assert "\n" not in str(caught.value) and "highs" in str(caught.value)
    with pytest.raises(SolverUnavailable, match=broken):
        try_out("cbc", binaries=True)
    try_out("auto", binaries=True)
    assert maximum(PROGRAM, OBJECTIVE, "auto") == maximum(PROGRAM, OBJECTIVE, "highs")


def test_all_broken_says_why_of_each(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(SolverUnavailable, match=rf"no solver can be used: .*Gurobi.*{broken}.*HiGHS"):
        maximum(PROGRAM, OBJECTIVE, "auto")


def test_a_later_failure_leaves_that_objective_without_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(f"echo x >> {tmp_path}/calls; [ $(wc -l < {tmp_path}/calls) = 2 ] && exit 1; exec '{CBC}' \"$@\"")(
        tmp_path
    )
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", str(path))
    session = open_session(PROGRAM, "cbc")
    first, second, third = (session.maximise(COLUMNS, OBJECTIVE, Limits()) for _ in range(3))
    session.close()
    assert second.bound == np.inf and not second.closed and second.point is None
    assert first.closed and third.closed and first.bound == third.bound < np.inf


@pytest.mark.parametrize("name", ["RAM Disk", "größer", "a'b\"c $(x) ;", "-sec", "日本", "tab\there"])
def test_the_folder_for_temporary_files_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = maximum(PROGRAM, OBJECTIVE, "cbc")
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    assert maximum(PROGRAM, OBJECTIVE, "cbc") == expected
    assert not any((tmp_path / name).iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", name)
    assert maximum(PROGRAM, OBJECTIVE, "cbc") == expected


def test_a_folder_for_temporary_files_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    with pytest.raises(SolverUnavailable, match="no folder to work in"):
        open_session(PROGRAM, "cbc")
    assert maximum(PROGRAM, OBJECTIVE, "auto") == maximum(PROGRAM, OBJECTIVE, "highs")


@contextlib.contextmanager
def no_room(size: int) -> Iterator[None]:
    """No file may grow longer: what a full disk does to the program's file, or to CBC's."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 1500])
def test_a_full_disk(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gurobipy", None)
    expected = maximum(PROGRAM, OBJECTIVE, "highs")
    session = open_session(PROGRAM, "cbc")
    fresh = open_session(PROGRAM, "cbc")
    session.maximise(COLUMNS, OBJECTIVE, Limits())
    with no_room(size):
        assert session.maximise(COLUMNS, OBJECTIVE, Limits()).bound == np.inf
        with pytest.raises(SolverUnavailable, match="CBC"):
            fresh.maximise(COLUMNS, OBJECTIVE, Limits())
        assert maximum(PROGRAM, OBJECTIVE, "auto") == expected
    session.close()


def test_a_cbc_that_does_not_look_at_the_clock_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script("echo $$ > pid; cp pid ../pid; sleep 60")(tmp_path)
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    session = open_session(PROGRAM, "cbc")
    began = time.monotonic()
    outcome = session.maximise(COLUMNS, OBJECTIVE, Limits(seconds=0.3))
    session.close()
    assert time.monotonic() - began < 5
    assert outcome.bound == np.inf and not outcome.closed
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_licence_that_is_no_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        monkeypatch.setenv("GRB_LICENSE_FILE", str(tmp_path / name))
        with pytest.raises(SolverUnavailable, match="which is no file"):
            open_session(PROGRAM, "gurobi")
        assert maximum(PROGRAM, OBJECTIVE, "auto") == maximum(PROGRAM, OBJECTIVE, "cbc")


class Failing:
    """A solver that answers so many times."""

    def __init__(self, answers: int) -> None:
        self.answers = answers

    def __call__(self, *arguments: object, **options: object) -> Session:
        session = open_session(PROGRAM, "highs")
        return type("Session", (), {"maximise": self.maximise(session), "close": lambda _: session.close()})()

    def maximise(self, session: Session) -> Callable[..., object]:
        def maximise(_: object, *arguments: object) -> object:
            if self.answers == 0:
                raise SolverUnavailable("it fails")
            self.answers -= 1
            return session.maximise(*arguments)

        return maximise


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_whichever_solver_fails_the_rule_is_the_same(answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("verify.programs", fromlist=["SOLVERS"]).SOLVERS, "gurobi", Failing(answers))
    session = open_session(PROGRAM)
    found = [session.maximise(COLUMNS, OBJECTIVE, Limits()).bound for _ in range(3)]
    session.close()
    truth = maximum(PROGRAM, OBJECTIVE, "highs")
    assert found[:answers] == pytest.approx([truth] * answers)
    assert found[answers:] == ([np.inf] * (3 - answers) if answers else pytest.approx([truth] * 3, abs=2e-5))
