"""Where a run is done, and what becomes of its workers, changes nothing in its results."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs

from faithkd.certification.engines import ENGINES, engine_named
from faithkd.certification.tally import Tally
from faithkd.cli.certify import ENGINES as OFFERED
from faithkd.errors import UserError
from faithkd.runs.parts import Part
from tests.faithkd import made_up
from tests.faithkd.running import certificates, certify, command, environment, run, untimed
from verify.joint.problem import Progress

# Four parts of branch and bound that ends by its own count of nodes, so that the results are the same on any machine.
BRANCHED = ("--eps", 0.01, "--eps", 0.02, "--images", 40, "--method", "complete", "--max-nodes", 20, "--timeout", 1000)


@pytest.fixture(scope="module")
def branched(pair, tmp_path_factory) -> Path:
    """A finished run of `complete` in one process; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "branched"
    result = certify(*pair, *BRANCHED, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


def started(*arguments: object) -> subprocess.Popen:
    """`faithkd certify` in a process of its own."""
    begin = command("certify", "--no-report", *arguments)
    return subprocess.Popen(begin, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what, process: subprocess.Popen, seconds: float = 100):
    """The first true answer of `what`, while the process runs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        time.sleep(0.02)
    raise AssertionError(f"nothing within {seconds} s")


def lines_in(folder: Path) -> int:
    """Certificates that a running command has written."""
    path = folder / "certificates.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def descendants(ancestor: int) -> dict[int, str]:
    """The names of the processes that come from one, by their numbers."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(entry.name)] = (entry / "cmdline").read_text().rstrip("\0 ")
        except OSError:
            continue

    def comes_from(process: int) -> bool:
        while process in parents and process != ancestor:
            process = parents[process]
        return process == ancestor

    return {process: names[process] for process in names if process != ancestor and comes_from(process)}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the worker in /proc")
def test_ray_with_a_killed_worker_and_merged_shards_give_the_local_results(branched, pair, tmp_path):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    process = started(*pair, *BRANCHED, "--engine", "ray", "--workers", 2, "--out", tmp_path / "ray")
    wait_for(lambda: lines_in(tmp_path / "ray"), process)
    working = wait_for(lambda: [p for p, name in descendants(process.pid).items() if name == "ray::_prove"], process)
    os.kill(working[0], signal.SIGKILL)
    shards = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, shard in enumerate(shards, start=1):
        assert certify(*pair, *BRANCHED, "--shard", f"{k}/2", "--out", shard).exit_code == 0
    assert run("report", *shards, "--out", tmp_path / "merged").exit_code == 0
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert untimed(tmp_path / "ray") == untimed(tmp_path / "merged") == untimed(branched)
    assert len(untimed(branched)) == 80
    assert all(line["faithub"] <= line["root"] <= 1 for line in certificates(branched))
    assert any(line["faithub"] < line["root"] for line in certificates(branched))
    assert "Traceback" not in errors and "Run folder" in output
    assert sorted(p.name for p in (tmp_path / "ray").iterdir()) == sorted(p.name for p in branched.iterdir())
    ray, local = (json.loads((folder / "summary.json").read_text()) for folder in (tmp_path / "ray", branched))
    assert ray.keys() == local.keys() and ray["request"] == local["request"]


@pytest.mark.slow
def test_control_c_keeps_what_complete_has_finished(branched, pair, tmp_path):
    folder = tmp_path / "run"
    process = started(*pair, *BRANCHED, "--out", folder)
    wait_for(lambda: lines_in(folder), process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"faithkd certify --resume --out {folder}" in errors and "Traceback" not in errors and not output
    assert json.loads((folder / "summary.json").read_text())["state"] == "interrupted"
    kept = certificates(folder)
    assert 0 < len(kept) < 80
    assert certify("--resume", "--out", folder).exit_code == 0
    assert untimed(folder) == untimed(branched)
    # The very lines, seconds included: what was finished was not done again.
    assert all(line in certificates(folder) for line in kept)


@pytest.mark.slow
def test_ray_gives_up_and_passes_errors_on(monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setattr("faithkd.certification.engines.ray.RETRIES", 0)

    class Request:
        device = "cpu"

    class Job:
        """Parts whose name says what becomes of them."""

        request = Request()

        def prove(self, part: Part, report):
            if part.name == "deadly":
                os.kill(os.getpid(), signal.SIGKILL)
            if part.name == "wrong":
                raise UserError("by design")
            report(Progress(1, 2, 3, 0.25, 0.5))
            time.sleep(1.5)
            return [{"index": part.rows.start}], {}

    def part(name: str, row: int) -> Part:
        return Part(name, 0.1, range(row, row + 1))

    seen: list[tuple[Part, Progress]] = []
    prove = engine_named("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        fine = [part("fine", k) for k in range(3)]
        proved = list(prove(Job(), fine, 2, lambda *report: seen.append(report)))
        assert {p: lines for p, lines, _ in proved} == {p: [{"index": p.rows.start}] for p in fine}
        assert {report for _, report in seen} == {Progress(1, 2, 3, 0.25, 0.5)} and {p for p, _ in seen} <= set(fine)
        with pytest.raises(UserError, match="by design"):
            list(prove(Job(), [part("wrong", 0)], None, lambda *report: None))
        with pytest.raises(UserError, match="--resume"):
            list(prove(Job(), [part("deadly", 0)], None, lambda *report: None))
    finally:
        ray.shutdown()


def test_a_cluster_that_is_not_there_is_one_sentence(pair, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    result = certify(
        *pair, "--images", 2, "--eps", 0.01, "--method", "crown", "--engine", "ray", "--out", tmp_path / "run"
    )
    assert result.exit_code == 1 and "RAY_ADDRESS" in result.output and "Traceback" not in result.output


def test_a_missing_ray_is_said_before_anything_is_written(pair, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "faithkd.certification.engines.ray", raising=False)
    result = certify(*pair, "--images", 2, "--eps", 0.01, "--engine", "ray", "--out", tmp_path / "run")
    assert result.exit_code == 1 and "pip install 'faithkd[ray]'" in result.output
    assert not (tmp_path / "run").exists()


def test_the_command_offers_every_engine():
    assert set(OFFERED) == set(ENGINES)


def test_progress_counts_each_image_once_wherever_its_report_comes_from():
    parts = [Part(f"part{k}", eps, range(2)) for k, eps in enumerate((0.1, 0.1, 0.2))]
    line = structs.replace(made_up.line(0, 0.2, 0.4, None, "pixel"), nodes=10, status="node-limit")
    tally = Tally(8, [structs.replace(line, eps=0.2)] * 2)
    tally.within(parts[0], Progress(1, 2, 3, 0.0, 1.0))
    step = tally.within(parts[1], Progress(1, 2, 5, 0.1, 0.6))
    assert (step.done, step.total, step.before, step.unclosed, step.nodes) == (4, 8, 2, 2, 8)
    assert (step.emplb, step.faithub) == pytest.approx((0.05, 0.8))
    step = tally.finished(parts[0], [line, line])
    assert (step.done, step.unclosed, step.nodes) == (5, 4, 25)
    assert (step.emplb, step.faithub) == pytest.approx((0.15, 0.5))
    # A report that comes late, and one of a part that was begun again on another worker.
    assert tally.within(parts[0], Progress(2, 2, 99, 0.9, 0.9)) == step
    assert tally.within(parts[1], Progress(0, 2, 1, 0.1, 0.6)).done == 4
