"""A share of the campaign of `benchmarks/measuring/mutations.py`: a wrong input ends in a result or in one sentence."""

import json
import subprocess
import sys

import pytest

from tests.faithkd.running import ROOT, environment

SHARE = 75


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches memory in /proc")
def test_a_share_of_the_campaign(tmp_path):
    out, kept = tmp_path / "mutations.json", tmp_path / "kept"
    kept.mkdir()
    command = [
        sys.executable,
        "-W",
        "ignore",
        ROOT / "benchmarks" / "measuring" / "mutations.py",
        "--count",
        SHARE,
        "--seed",
        "7",
        "--out",
        out,
        "--keep",
        kept,
    ]
    done = subprocess.run(list(map(str, command)), env=environment(), capture_output=True, text=True, timeout=900)
    assert out.exists(), done.stderr
    found = json.loads(out.read_text())
    assert found["cases"] == SHARE and not found["wrong"], json.dumps(found["wrong"], indent=1)
    assert found["kinds"]["done"] > SHARE / 20 and found["kinds"]["sentence"] > SHARE / 3


def test_the_recorded_campaign_is_whole_and_clean():
    record = json.loads((ROOT / "benchmarks" / "results" / "mutations.json").read_text())
    (row,) = record["rows"]
    assert row["cases"] == 3000 and row["wrong"] == [] and sum(row["kinds"].values()) == 3000
    assert set(row["kinds"]) <= {"done", "sentence", "usage"}
    assert row["slowest"]["seconds"] < row["limits"]["seconds"] == 20
    assert row["largest"]["megabytes"] < row["limits"]["megabytes"] == 1000
