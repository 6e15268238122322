"""`faithkd certify`: what its certificates say is true, and nothing that interrupts or divides a run changes them."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pulp
import pytest
import torch

import faithkd
import verify
from tests.faithkd.running import NORMALISED, certificates, certify, checkpoint, command, environment, run, untimed
from verify.joint.problem import Outcome

FIELDS = (
    "index label eps unit eps_pixel teacher_class student_class emplb faithub root class sign agreement method proof status "
    "nodes seconds"
)


def request(pair, *more):
    """The run of the fixture `finished`, with more options."""
    return [
        "certify",
        "--no-report",
        *pair,
        "--eps",
        0.02,
        "--eps",
        "8/255",
        "--images",
        60,
        "--method",
        "crown",
        *more,
    ]


def test_certificates_are_canonical_and_complete(finished):
    lines = certificates(finished)
    assert all(list(line) == FIELDS.split() for line in lines)
    assert [(line["eps"], line["index"]) for line in lines] == sorted({(line["eps"], line["index"]) for line in lines})
    positions = faithkd.data.load("mnist-sample").sample(60, 0).positions.tolist()
    assert [line["index"] for line in lines] == sorted(positions) * 2
    assert not (finished / "parts").exists()


def test_witnesses_attain_emplb_inside_the_ball(finished, pair):
    teacher, student = (faithkd.load(path).double() for path in pair)
    data = faithkd.data.load("mnist-sample")
    image = dict(zip(data.positions.tolist(), data.images, strict=True))
    with np.load(finished / "witnesses.npz") as stored:
        witnesses = torch.from_numpy(stored["witness"]).double()
        assert stored["index"].tolist() == [line["index"] for line in certificates(finished)]
    for line, witness in zip(certificates(finished), witnesses, strict=True):
        assert (witness - image[line["index"]].double()).abs().max() <= line["eps_pixel"]
        assert witness.min() >= 0 and witness.max() <= 1
        with torch.no_grad():
            gap = teacher(witness[None]).softmax(1) - student(witness[None]).softmax(1)
        assert line["emplb"] <= gap.abs().max() + 1e-15
        assert line["emplb"] == pytest.approx(gap.abs().max().item(), abs=1e-9)
        assert line["emplb"] <= line["faithub"] <= 1


def test_summary_restates_the_certificates(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["state"] == "complete"
    for radius in summary["radii"]:
        lines = [line for line in certificates(finished) if line["eps"] == radius["eps"]]
        for name in ("emplb", "faithub"):
            values = [line[name] for line in lines]
            mean = sum(values) / len(values)
            assert radius[name]["mean"] == pytest.approx(mean)
            assert radius[name]["std"] == pytest.approx((sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5)
        agreement = radius["agreement"]
        assert sum(agreement.values()) == radius["images"] == 60
        # No search finds a disagreement where agreement is proved, and none misses the image itself.
        assert agreement["certified"] / 60 <= radius["empirical_agreement"] <= radius["agree_at_image"]


@pytest.mark.slow
def test_workers_change_nothing(finished, pair, tmp_path):
    assert run(*request(pair, "--workers", 3, "--out", tmp_path / "run")).exit_code == 0
    assert untimed(tmp_path / "run") == untimed(finished)


@pytest.mark.slow
def test_merged_shards_are_the_whole_run(finished, pair, tmp_path):
    shards = [tmp_path / f"shard{k}" for k in (1, 2, 3)]
    for k, shard in enumerate(shards, start=1):
        assert run(*request(pair, "--shard", f"{k}/3", "--out", shard)).exit_code == 0
    refused = run("report", *shards[:2], "--out", tmp_path / "merged")
    assert refused.exit_code == 1 and "3/3" in refused.output and not (tmp_path / "merged").exists()
    assert run("report", *shards, "--out", tmp_path / "merged").exit_code == 0
    assert untimed(tmp_path / "merged") == untimed(finished)
    merged, whole = (json.loads((folder / "summary.json").read_text()) for folder in (tmp_path / "merged", finished))
    for one, other in zip(merged["radii"], whole["radii"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert merged["request"] == whole["request"] and merged["checksums"] == whole["checksums"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_and_resume(finished, pair, tmp_path, workers):
    folder = tmp_path / "run"
    begin = command(*request(pair, "--workers", workers, "--out", folder))
    process = subprocess.Popen(begin, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    written = _wait_for_a_part(process, folder)
    process.kill()
    process.wait()
    assert 0 < written < 120
    # What a kill in the middle of a write leaves: a torn line, and a part without its certificates.
    with (folder / "certificates.jsonl").open("a") as file:
        file.write('{"index": 17, "label": 3, "ep')
    assert run("report", folder).exit_code == 0
    kept = certificates_so_far(folder)
    assert certify("--resume", "--out", folder).exit_code == 0
    assert untimed(folder) == untimed(finished)
    assert [line for line in certificates(folder) if line in kept] == sorted(
        kept, key=lambda line: (line["eps"], line["index"])
    )


def certificates_so_far(folder):
    """The whole lines of a file that may end with a torn one."""
    return [json.loads(line) for line in (folder / "certificates.jsonl").read_text().splitlines()[:-1]]


def _wait_for_a_part(process: subprocess.Popen, folder: Path) -> int:
    """Until the first certificates are there; returns how many."""
    for _ in range(6000):
        path = folder / "certificates.jsonl"
        if path.exists() and (lines := path.read_text().count("\n")):
            return lines
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.01)
    raise AssertionError("no certificate within a minute")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_control_c_says_how_to_continue(finished, pair, tmp_path, workers):
    folder = tmp_path / "run"
    begin = command(*request(pair, "--workers", workers, "--out", folder))
    process = subprocess.Popen(begin, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for_a_part(process, folder)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"faithkd certify --resume --out {folder}" in errors and "Traceback" not in errors and not output
    assert json.loads((folder / "summary.json").read_text())["state"] == "interrupted"
    assert certify("--resume", "--out", folder, "--workers", 2).exit_code == 0
    assert untimed(folder) == untimed(finished)


def test_resume_of_a_finished_run_recomputes_nothing(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    before = (folder / "certificates.jsonl").read_bytes(), (folder / "witnesses.npz").read_bytes()
    assert certify("--resume", "--out", folder).exit_code == 0
    assert before == ((folder / "certificates.jsonl").read_bytes(), (folder / "witnesses.npz").read_bytes())


@pytest.mark.parametrize(
    ("option", "value"),
    [("--eps", 0.3), ("--gap", 0.5), ("--images", 3), ("--seed", 1), ("--method", "interval"), ("--unit", "normalised"),
     ("--no-clip", None), ("--max-nodes", 5), ("--delta", 0.1), ("--shard", "1/2"), ("--data", "mnist"), ("--timeout", 1)],
)  # fmt: skip
def test_resume_with_another_option_is_refused_by_name(finished, tmp_path, option, value):
    folder = shutil.copytree(finished, tmp_path / "run")
    before = (folder / "certificates.jsonl").read_bytes()
    result = certify("--resume", "--out", folder, option, *([] if value is None else [value]))
    assert result.exit_code == 1
    assert option in result.output and "Traceback" not in result.output
    assert (folder / "certificates.jsonl").read_bytes() == before


def test_resume_refuses_a_network_that_changed(tmp_path):
    pair = [checkpoint(tmp_path / f"{name}.safetensors", (5,), seed) for seed, name in enumerate(("one", "two"))]
    assert (
        certify(*pair, "--eps", 0.01, "--images", 2, "--method", "interval", "--out", tmp_path / "run").exit_code == 0
    )
    checkpoint(tmp_path / "two.safetensors", (5,), 7)
    result = certify("--resume", "--out", tmp_path / "run")
    assert result.exit_code == 1 and "student" in result.output


@pytest.mark.slow
def test_radius_zero(pair, tmp_path):
    for method in set(verify.METHODS) - {"minlp"}:
        folder = tmp_path / method
        result = certify(*pair, "--eps", 0, "--images", 4, "--method", method, "--out", folder)
        assert result.exit_code == 0, result.output
        for line in certificates(folder):
            assert line["emplb"] <= line["faithub"] <= line["emplb"] + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lp-boxes", "lp", "milp"])
def test_scip_serves_every_method_that_has_programs(method, pair, tmp_path):
    found = {}
    for solver in ("scip", "auto"):
        arguments = [
            "--method",
            method,
            "--solver",
            solver,
            "--no-search",
            "--timeout",
            100,
            "--out",
            tmp_path / solver,
        ]
        result = certify(*pair, "--eps", 0.01, "--images", 2, *arguments)
        assert result.exit_code == 0, result.output
        found[solver] = [line["faithub"] for line in certificates(tmp_path / solver)]
    # `milp` leaves a row alone when it could lower FAITHUB by less than 1e-4.
    assert found["scip"] == pytest.approx(found["auto"], abs=3e-4)


def test_a_broken_solver_is_said_before_anything_is_written(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", "/bin/false")
    arguments = [*pair, "--eps", 0.02, "--images", 1, "--method", "milp", "--solver"]
    result = certify(*arguments, "cbc", "--out", tmp_path / "run")
    assert result.exit_code == 1 and "exit status 1" in result.output and not (tmp_path / "run").exists()
    assert certify(*arguments, "auto", "--out", tmp_path / "run").exit_code == 0


def test_fail_above_and_json(pair, tmp_path):
    small = [*pair, "--eps", 0.01, "--images", 5, "--method", "crown", "--json"]
    result = certify(*small, "--out", tmp_path / "one", "--fail-above", 0)
    assert result.exit_code == 3
    summary = json.loads(result.stdout)
    assert summary == json.loads((tmp_path / "one" / "summary.json").read_text())
    highest = summary["radii"][0]["faithub"]["max"]
    assert certify(*small, "--out", tmp_path / "two", "--fail-above", highest).exit_code == 0


def test_a_normalised_radius_is_the_same_region(pair, tmp_path):
    common = [*pair, "--images", 5, "--method", "crown"]
    assert certify(*common, "--eps", 0.1, *NORMALISED, "--out", tmp_path / "normalised").exit_code == 0
    assert certify(*common, "--eps", 0.1 * 0.3081, "--out", tmp_path / "pixel").exit_code == 0
    for one, other in zip(certificates(tmp_path / "normalised"), certificates(tmp_path / "pixel"), strict=True):
        assert one["eps_pixel"] == other["eps_pixel"] and one["faithub"] == other["faithub"]
        assert (one["eps"], one["unit"], other["unit"]) == (0.1, "normalised", "pixel")


def test_uncut_regions_contain_the_cut_ones(pair, tmp_path):
    common = [*pair, "--images", 20, "--method", "crown", "--eps", 0.05]
    assert certify(*common, "--out", tmp_path / "cut").exit_code == 0
    assert certify(*common, "--no-clip", "--out", tmp_path / "whole").exit_code == 0
    cut, whole = (np.array([line["faithub"] for line in certificates(tmp_path / name)]) for name in ("cut", "whole"))
    assert (whole >= cut - 1e-9).all() and (whole > cut).any()


def test_chosen_images_delta_and_no_search(pair, tmp_path):
    data = faithkd.data.load("mnist-sample")
    chosen = sorted(data.positions[:3].tolist())
    result = certify(
        *pair, "--index", ",".join(map(str, chosen)), "--eps", 0.02, "--delta", 0.2, "--no-search",
        "--method", "crown", "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = certificates(tmp_path / "run")
    assert [line["index"] for line in lines] == chosen
    imitation = json.loads((tmp_path / "run" / "summary.json").read_text())["radii"][0]["imitation"]
    assert imitation["proved"] == sum(line["faithub"] <= 0.2 for line in lines)
    assert imitation["refuted"] == sum(line["emplb"] > 0.2 for line in lines)
    with np.load(tmp_path / "run" / "witnesses.npz") as stored:
        assert (stored["witness"] == stored["image"]).all()


def test_a_data_set_in_a_file(pair, tmp_path):
    sample = faithkd.data.load("mnist-sample").sample(8, 0)
    np.savez(tmp_path / "some.npz", images=sample.images.numpy(), labels=sample.labels.numpy())
    result = certify(
        *pair,
        "--data",
        tmp_path / "some.npz",
        "--eps",
        0.02,
        "--images",
        8,
        "--method",
        "crown",
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 0, result.output
    assert [line["label"] for line in certificates(tmp_path / "run")] == sample.labels.tolist()


def test_plain_state_dicts(tmp_path):
    names = "mnist-teacher", "mnist-student"
    paths = [tmp_path / f"{name}.pt" for name in names]
    for name, path in zip(names, paths, strict=True):
        torch.save(faithkd.models.named(name).state_dict(), path)
    common = [*paths, "--images", 2, "--method", "interval", "--eps", 0.01]
    given = [word for name in names for word in ("--architecture", name)]
    assert certify(*common, *given, "--out", tmp_path / "run").exit_code == 0
    refused = certify(*common, "--out", tmp_path / "other")
    assert refused.exit_code == 1 and "--architecture" in refused.output and not (tmp_path / "other").exists()


def test_an_unsound_bound_stops_the_run(pair, tmp_path, monkeypatch):
    planted = verify.methods.Method(
        "planted", lambda problem, best, met: Outcome(torch.zeros_like(best)), "wrong on purpose"
    )
    monkeypatch.setitem(verify.METHODS, "planted", planted)
    result = certify(*pair, "--eps", 0.05, "--images", 5, "--method", "planted", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "below EMPLB" in result.output and "Traceback" not in result.output
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "failed"
    assert not (tmp_path / "run" / "certificates.jsonl").exists()


def test_fresh_run_folders_have_names_of_their_own(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = [*pair, "--eps", 0.01, "--images", 1, "--method", "interval"]
    for name in ("first", "2", "3"):
        result = certify(*small)
        assert result.exit_code == 0 and f"Run folder: runs/{name}" in result.output
    assert certify("--resume").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_the_embedded_pairs_need_nothing_else(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAITHKD_DATA", raising=False)
    arguments = [] if dataset == "mnist" else [f"{dataset}-teacher", f"{dataset}-fd"]
    result = run("certify", *arguments, "--images", 4, "--method", "crown")
    assert result.exit_code == 0, result.output
    lines = certificates(tmp_path / "runs" / "first")
    assert len(lines) == 8 and {line["unit"] for line in lines} == {"normalised"}
    assert "normalised" in result.stdout and "report.html" in result.stdout
