"""Ctrl-C and SIGTERM count, once, wherever they come: each in a process of its own that sends itself the signal at that place."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from tests.faithkd.running import certificates, certify, command, environment, small_pair, untimed

HEARING = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from faithkd import interrupts
interrupts.install()
me = os.getpid()
"""


def program(text: str, **options) -> subprocess.CompletedProcess[str]:
    """A process that has installed `interrupts`, runs `text` and ends as `faithkd` does."""
    body = textwrap.indent(textwrap.dedent(text), "    ")
    caught = "    print('caught')\n    interrupts.end(interrupts.status())"
    script = f"{HEARING}try:\n{body}\nexcept KeyboardInterrupt:\n{caught}\ninterrupts.end(0)"
    given = {"capture_output": True, "text": True, "env": environment(), "timeout": 60, **options}
    return subprocess.run([sys.executable, "-c", script], **given)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_what_is_done_and_decides_the_status(number, status):
    done = program(f"os.kill(me, {int(number)}); time.sleep(30); print('slept')")
    assert (done.returncode, done.stdout, done.stderr) == (status, "caught\n", "")


@pytest.mark.parametrize(
    "place",
    [
        "class A:\n    def __del__(self): os.kill(me, signal.SIGINT); sum(range(99))\na = A(); del a",
        "import weakref\nclass A: pass\na = A()\n"
        "r = weakref.ref(a, lambda r: (os.kill(me, signal.SIGINT), sum(range(99))))\ndel a",
        "import ctypes\nf = ctypes.CFUNCTYPE(None)(lambda: (os.kill(me, signal.SIGINT), sum(range(99))) and None)\nf()",
    ],
    ids=["del", "weakref", "ctypes"],
)
def test_an_interrupt_that_python_swallows_comes_again(place):
    began = time.monotonic()
    done = program(place + "\nfor _ in range(300): time.sleep(0.1)\nprint('slept')")
    assert (done.returncode, done.stdout, done.stderr) == (130, "caught\n", "") and time.monotonic() - began < 20


def test_an_interrupt_that_a_library_swallows_still_decides_the_status():
    done = program(
        """
        try:
            os.kill(me, signal.SIGINT)
            time.sleep(1)
        except BaseException:
            pass
        print('went on')
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "went on\n", "")
    done = program(
        "try:\n    os.kill(me, 2); time.sleep(1)\nexcept BaseException: pass\ninterrupts.check(); print('went on')"
    )
    assert (done.returncode, done.stdout) == (130, "caught\n")


def test_what_is_held_is_done_whole():
    done = program(
        """
        with interrupts.held():
            with interrupts.held():
                os.kill(me, signal.SIGINT)
                time.sleep(0.2)
                print('whole')
            print('also whole')
        print('never')
        """
    )
    assert (done.returncode, done.stdout) == (130, "whole\nalso whole\ncaught\n")


def test_the_same_wish_twice_is_one_and_a_second_wish_ends_at_once():
    twice = "os.kill(me, 2)\nexcept KeyboardInterrupt:\n    {}\n    os.kill(me, 2); sum(range(99)); print('cleaned up')"
    done = program(f"try:\n    {twice.format('pass')}")
    assert (done.returncode, done.stdout) == (130, "cleaned up\n")
    done = program(f"interrupts.SAME = 0.5\ntry:\n    {twice.format('time.sleep(1.5)')}")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_after_the_end_it_only_decides_the_status():
    done = program("import atexit; atexit.register(lambda: (os.kill(me, 2), time.sleep(30))); print('done')")
    assert (done.returncode, done.stdout, done.stderr) == (130, "done\n", "")


def test_the_end_does_and_writes_what_is_left():
    script = """
    import atexit, ctypes
    atexit.register(lambda: print('last'))
    ctypes.CDLL(None).puts(b'from C')
    sys.stdout.write('no newline')
    """
    done = program(script)
    assert done.returncode == 0 and all(text in done.stdout for text in ("last", "from C", "no newline"))
    for code, wanted in (("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('words')", 1)):
        text = f"import click, faithkd.cli.main as cli, sys\ndef main(**_): {code}\ncli.main = main\nimport faithkd.program as p; p.main()"
        assert (
            subprocess.run([sys.executable, "-c", text], env=environment(), capture_output=True, check=False).returncode
            == wanted
        )


def test_what_a_process_was_told_to_ignore_it_ignores():
    ignoring = (
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); interrupts.install(); os.kill(me, signal.SIGHUP); print('on')"
    )
    assert (
        program("import signal as s; s.signal(s.SIGINT, s.SIG_IGN); interrupts.install(); os.kill(me, 2)").returncode
        == 0
    )
    done = program(ignoring)
    assert (done.returncode, done.stdout) == (0, "on\n")


WORKERS = """
from faithkd.processes import workers
import os, signal, sys, time

def child(k):
    time.sleep(30)

if __name__ == "__main__":
    from faithkd import interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.install()
    try:
        with workers(3) as pool:
            for k in range(3):
                pool.submit(child, k)
            time.sleep({wait})
            os.killpg(0, {number})
            time.sleep(30)
    except KeyboardInterrupt:
        pass
    sys.exit(interrupts.status())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1, 0.5])
def test_workers_are_quiet_from_their_first_instruction(tmp_path, wait, number):
    script = tmp_path / "script.py"
    script.write_text(WORKERS.format(wait=wait, number=int(number)))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, script], env=environment(), capture_output=True, text=True, timeout=60, start_new_session=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "") and time.monotonic() - began < 20


SOLVERS = """
import numpy as np
from verify.programs import Limits, Program, open_session
draws, program = np.random.default_rng(0), Program()
for _ in range(200):
    program.add_variable(0, 1, binary=True)
for _ in range(30):
    weights = draws.integers(1, 1000, 200).astype(float)
    program.add_row(np.arange(200), weights, -np.inf, float(weights.sum() // 3))
session = open_session(program, {solver!r})
import subprocess
subprocess.Popen(["sh", "-c", f"sleep 1; kill -{number} {{me}}"])
session.maximise(np.arange(200), draws.integers(1, 1000, 200).astype(float), Limits(seconds=40.0))
print('went on')
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "package", "number"),
    [
        (*solver, number)
        for solver in (("gurobi", "gurobipy"), ("highs", "highspy"), ("cbc", "pulp"), ("scip", "pyscipopt"))
        for number in (signal.SIGINT, signal.SIGTERM)
        if (solver[0], number) != ("scip", signal.SIGTERM)
    ],
)
def test_solvers_hear_it_too(solver, package, number):
    pytest.importorskip(package)
    began = time.monotonic()
    done = program(SOLVERS.format(solver=solver, number=int(number)))
    assert done.returncode == 128 + number, done.stderr
    assert "caught" in done.stdout and "went on" not in done.stdout and time.monotonic() - began < 30


def wait_for(condition, process, seconds=60.0):
    """What becomes true while a process runs."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status", "to_group"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_a_run_says_that_it_was_interrupted_and_goes_on(tmp_path, number, status, to_group):
    pair, folder = small_pair(tmp_path), tmp_path / "run"
    asked = (
        *pair,
        "--eps",
        0.02,
        "--images",
        60,
        "--method",
        "crown",
        "--no-search",
        "--workers",
        2,
        "--no-report",
        "--out",
    )
    process = subprocess.Popen(
        command("certify", *asked, folder), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    summary = folder / "summary.json"
    wait_for(lambda: summary.exists() and json.loads(summary.read_text())["state"] == "running", process)
    (os.killpg if to_group else os.kill)(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in errors and not output, errors
    assert f"continue with: faithkd certify --resume --out {folder}" in errors
    assert json.loads(summary.read_text())["state"] == "interrupted"
    assert certify("--resume", "--out", folder).exit_code == 0
    assert certify(*(name for name in asked if name not in ("--no-report",)), tmp_path / "whole").exit_code == 0
    assert untimed(folder) == untimed(tmp_path / "whole") and len(certificates(folder)) == 60
