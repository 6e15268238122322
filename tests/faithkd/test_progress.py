"""What a run says while it goes on: the counts and the interval that its files hold in the end."""

import json
import re

import pytest

from faithkd.cli import progress
from tests.faithkd.running import certificates, certify

RUN = ("--eps", 0.02, "--images", 30, "--method", "complete", "--max-nodes", 10, "--timeout", 1000)


@pytest.mark.slow
@pytest.mark.parametrize(("terminal", "workers"), [(False, 2), (True, 1)])
def test_the_last_report_is_what_the_run_folder_says(pair, tmp_path, monkeypatch, terminal, workers):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(progress, "on_terminal", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "150")
    result = certify(*pair, *RUN, "--workers", workers, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    radius = json.loads((tmp_path / "run" / "summary.json").read_text())["radii"][0]
    unclosed = sum(line["status"] != "closed" for line in certificates(tmp_path / "run"))
    last = result.stderr.strip().splitlines()[-1]
    assert ("30/30" if terminal else "30 of 30 done") in last
    assert f"mean [{radius['emplb']['mean']:.4f}, {radius['faithub']['mean']:.4f}]" in last
    assert f"{unclosed} not closed" in last and re.search(r"\d+ nodes/s", last)


def test_json_is_alone_on_stdout_and_nothing_else_is_said(pair, tmp_path):
    result = certify(*pair, *RUN, "--json", "--out", tmp_path / "run")
    assert json.loads(result.stdout)["state"] == "complete"
    # Its teacher was never trained, and that is said whatever is asked for.
    said = [line for line in result.stderr.splitlines() if "compiled loops" not in line]
    assert [line.partition(":")[0] for line in said] == ["Note"]
