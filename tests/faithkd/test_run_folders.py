"""Run folders of the older format go on; a run holds as much as its request asks for."""

import errno
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from faithkd.runs import lock as locks
from faithkd.runs import read_run
from tests.faithkd import mutations_runs as damage
from tests.faithkd.four_parts import ASKED, OLD
from tests.faithkd.made_up import made_up_run
from tests.faithkd.running import certificates, certify, command, environment, run
from tests.faithkd.test_bad_inputs import said

# The older format


def test_a_complete_run_of_format_1_opens_and_is_brought_up_to_date(tmp_path):
    folder = damage.copied(OLD / "complete", tmp_path / "run")
    old = read_run(folder)
    assert old.summary.format == 1 and len(old.certificates) == 8
    before = (folder / "certificates.jsonl").read_bytes(), (folder / "witnesses.npz").read_bytes()
    assert run("report", folder).exit_code == 0
    assert before == ((folder / "certificates.jsonl").read_bytes(), (folder / "witnesses.npz").read_bytes())
    assert certify("--resume", "--out", folder).exit_code == 0
    new = read_run(folder)
    assert new.summary.format == 2 and new.summary.scale == 0.3081 and new.summary.image_shape == (1, 28, 28)
    assert new.certificates == old.certificates and (folder / "certificates.jsonl").read_bytes() == before[0]
    assert new.summary.radii == old.summary.radii
    for name in ("image", "witness", "index", "eps", "empirical_agreement"):
        assert np.array_equal(new.witnesses[name], old.witnesses[name])


def test_an_unfinished_run_of_format_1_is_continued(tmp_path):
    folder = damage.copied(OLD / "interrupted", tmp_path / "run")
    old = certificates(folder)
    assert len(read_run(folder).certificates) == len(old) == 25
    with (folder / "certificates.jsonl").open("a") as file:
        file.write('{"index": 17, "lab')
    assert certify("--resume", "--out", folder).exit_code == 0
    found = read_run(folder)
    assert found.summary.state == "complete" and found.summary.format == 2 and len(found.certificates) == 54
    assert all(line in certificates(folder) for line in old)


@pytest.mark.slow
def test_a_study_of_format_1_is_continued(tmp_path):
    folder = damage.copied(OLD / "study", tmp_path / "study")
    before = {path.name: json.loads(path.read_bytes()) for path in (folder / "searches").iterdir()}
    assert run("report", folder).exit_code == 0
    result = run("benchmark", "mnist", "--resume", "--out", folder)
    assert result.exit_code == 0, result.output
    after = {path.name: json.loads(path.read_bytes()) for path in (folder / "searches").iterdir()}
    assert set(after) == {*before, "plane.json"}
    assert all({**values, "digest": after[name]["digest"]} == after[name] for name, values in before.items())
    formats = [
        json.loads(path.read_bytes())["format"]
        for path in [folder / "study.json", *folder.glob("certify/*/summary.json")]
    ]
    assert formats == [2] * 5


# Counts, and what is asked


@pytest.mark.parametrize("shard", ["1/1", "1/2", "2/2"])
def test_a_complete_run_has_what_its_request_asks_for(pair, tmp_path, shard):
    assert certify(*pair, *ASKED, "--shard", shard, "--out", tmp_path / "run").exit_code == 0
    found = read_run(tmp_path / "run")
    assert len(found.certificates) == {"1/1": 54, "1/2": 50, "2/2": 4}[shard]
    files = json.loads((tmp_path / "run" / "summary.json").read_text())["files"]
    assert files["certificates.jsonl"]["lines"] == len(found.certificates)


def test_a_larger_gap_ends_the_command_with_3_and_nothing_hides_from_it(pair, tmp_path):
    asked = (*pair, "--eps", 0.01, "--images", 4, "--method", "interval", "--json")
    assert certify(*asked, "--fail-above", 1, "--out", tmp_path / "one").exit_code == 0
    worst = json.loads((tmp_path / "one" / "summary.json").read_text())["radii"][0]["faithub"]["max"]
    assert certify("--resume", "--out", tmp_path / "one", "--json", "--fail-above", worst).exit_code == 0
    assert certify("--resume", "--out", tmp_path / "one", "--json", "--fail-above", worst - 1e-9).exit_code == 3
    assert certify("--resume", "--out", tmp_path / "one", "--json", "--fail-above", "nan").exit_code == 3


def test_what_cannot_be_recorded_is_refused_before_it_is_proved(pair, tmp_path):
    name = os.fsdecode(b"teacher-\xff.safetensors")
    shutil.copy(pair[0], tmp_path / name)
    result = subprocess.run(
        command("certify", tmp_path / name, pair[1], *ASKED, "--out", tmp_path / "run"),
        capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    assert result.returncode == 1 and "UTF-8" in result.stderr and not (tmp_path / "run").exists()
    assert "finite" in said(certify(*pair, *ASKED, "--timeout", "inf", "--out", tmp_path / "run"))


def test_made_up_runs_hold_what_is_checked(tmp_path):
    folder = made_up_run(tmp_path / "run", [0.0, 0.5, 1.0], [1.0, 1.0, 1.0], (3, 5, 7), unit="normalised")
    assert [line.eps_pixel for line in read_run(folder).certificates] == [0.05] * 3
    assert re.search(r'"digest": "[0-9a-f]{64}"\n}\n$', (folder / "summary.json").read_text())
    assert errno.ENOLCK in locks.WITHOUT_LOCKS
