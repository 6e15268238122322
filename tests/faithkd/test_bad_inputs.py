"""Bad inputs: each ends with one sentence and exit status 1 or 2, and leaves a run folder readable."""

import json
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import faithkd
import verify
from faithkd.checkpoint import card_for, save
from faithkd.models import mlp
from tests.faithkd.running import certify, checkpoint, command, environment, run, run_process, small_pair, untimed


class Bench:
    """Bad files, made in a folder when they are asked for."""

    def __init__(self, folder: Path, pair: tuple[str, str]) -> None:
        self.folder, self.pair = folder, pair
        self.out = folder / "run"

    def write(self, name: str, content: bytes | str) -> str:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def truncated(self) -> str:
        return self.write("truncated.safetensors", Path(self.pair[0]).read_bytes()[:-1000])

    def pickled(self) -> str:
        torch.save(nn.Linear(784, 10), self.folder / "model.pt")
        return str(self.folder / "model.pt")

    def state_dict(self) -> str:
        torch.save(faithkd.models.named("mnist-teacher").state_dict(), self.folder / "weights.pt")
        return str(self.folder / "weights.pt")

    def not_a_number(self) -> str:
        model = mlp([4], 0.1307, 0.3081)
        with torch.no_grad():
            model[2].weight[0, 0] = float("nan")
        save(self.folder / "nan.safetensors", model, card_for(model, dataset="mnist"))
        return str(self.folder / "nan.safetensors")

    def of(self, **what) -> str:
        return checkpoint(self.folder / "other.safetensors", (4,), 3, **what)

    def npz(self, **arrays) -> str:
        np.savez(self.folder / "data.npz", **arrays)
        return str(self.folder / "data.npz")

    def data_folder(self) -> str:
        folder = self.folder / "data" / "mnist"
        folder.mkdir(parents=True)
        for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
            (folder / name).write_bytes(b"\x1f\x8b not really compressed")
        return str(folder.parent)

    def damaged_run(self, name: str, content: str) -> Path:
        certify(*self.pair, "--eps", 0.01, "--images", 3, "--method", "interval", "--out", self.out)
        (self.out / name).write_text(content)
        return self.out


def certifying(*more):
    """A run that would be quick if nothing were wrong with the options `more`."""
    return lambda bench: [
        "certify",
        *bench.pair,
        "--eps",
        0.01,
        "--images",
        2,
        "--method",
        "interval",
        "--out",
        bench.out,
        *more,
    ]


def with_models(choose):
    """The same with other networks: `choose(bench)` gives teacher and student."""
    return lambda bench: [
        "certify",
        *choose(bench),
        "--eps",
        0.01,
        "--images",
        2,
        "--method",
        "interval",
        "--out",
        bench.out,
    ]


def with_data(choose):
    """The same with a data set from a file."""
    return lambda bench: [*certifying()(bench), "--data", choose(bench)]


IMAGES, LABELS = np.zeros((4, 1, 28, 28), dtype=np.float32), np.zeros(4, dtype=np.int64)
CASES = {
    "missing file": (with_models(lambda b: ("nowhere.safetensors", b.pair[1])), "nowhere.safetensors"),
    "folder as a network": (with_models(lambda b: (b.folder, b.pair[1])), "folder"),
    "pickled module": (with_models(lambda b: (b.pickled(), b.pair[1])), "pickle"),
    "pickled module as a state dict": (
        lambda b: [*with_models(lambda b: (b.pickled(), b.pickled()))(b), "--architecture", "mnist-teacher"], "state_dict",
    ),
    "plain pickle": (with_models(lambda b: (b.write("x.pkl", pickle.dumps({"a": 1})), b.pair[1])), "pickle"),
    "truncated file": (with_models(lambda b: (b.pair[0], b.truncated())), "truncated"),
    "empty file": (with_models(lambda b: (b.write("empty.safetensors", ""), b.pair[1])), "empty.safetensors"),
    "garbage": (with_models(lambda b: (b.write("text.safetensors", "hello " * 99), b.pair[1])), "text.safetensors"),
    "weights that are NaN": (with_models(lambda b: (b.pair[0], b.not_a_number())), "NaN"),
    "weights of another shape": (
        lambda b: [*with_models(lambda b: (b.state_dict(), b.state_dict()))(b), "--architecture", "mnist-student"], "tensors",
    ),
    "unknown architecture": (
        lambda b: [*with_models(lambda b: (b.state_dict(), b.state_dict()))(b), "--architecture", "resnet"], "resnet",
    ),
    "other number of classes": (with_models(lambda b: (b.pair[0], b.of(classes=7))), "classes"),
    "networks for different data": (with_models(lambda b: (b.pair[0], b.of(dataset="fashion-mnist"))), "fashion-mnist"),
    "only one network": (lambda b: ["certify", b.pair[0]], "STUDENT"),
    "data of another kind": (certifying("--data", "fashion-mnist-sample"), "fashion-mnist"),
    "unknown data set": (certifying("--data", "cifar"), "cifar"),
    "missing npz": (certifying("--data", "nowhere.npz"), "nowhere.npz"),
    "npz without labels": (with_data(lambda b: b.npz(images=IMAGES)), "labels"),
    "npz of other images": (with_data(lambda b: b.npz(images=IMAGES[:, :, :9, :9], labels=LABELS)), "shape"),
    "npz beyond its range": (with_data(lambda b: b.npz(images=IMAGES + 7, labels=LABELS)), "range"),
    "npz with NaN": (with_data(lambda b: b.npz(images=IMAGES * np.nan, labels=LABELS)), "NaN"),
    "npz with fewer labels": (with_data(lambda b: b.npz(images=IMAGES, labels=LABELS[:2])), "labels"),
    "npz that is none": (with_data(lambda b: b.write("fake.npz", "nothing")), "fake.npz"),
    "corrupt data folder": (lambda b: [*certifying("--data", "mnist")(b), "--data-dir", b.data_folder()], "t10k"),
    "negative radius": (certifying("--eps", -0.1), "radius"),
    "radius that is NaN": (certifying("--eps", "nan"), "radius"),
    "radius that is no number": (certifying("--eps", "large"), "large"),
    "radius over zero": (certifying("--eps", "8/0"), "8/0"),
    "the same radius twice": (certifying("--eps", 0.01), "--eps"),
    "unit without a radius": (lambda b: ["certify", *b.pair, "--unit", "pixel", "--out", b.out], "--eps"),
    "unknown unit": (certifying("--unit", "inch"), "inch"),
    "image out of range": (certifying("--index", 10000), "9999"),
    "negative image": (certifying("--index", -1), "9999"),
    "image not in the sample": (certifying("--index", "0-9"), "--data mnist"),
    "image that is no number": (certifying("--index", "first"), "first"),
    "no images": (certifying("--images", 0), "--images"),
    "too many images": (certifying("--images", 1001), "1000"),
    "negative seed": (certifying("--seed", -1), "seed"),
    "unknown method": (certifying("--method", "magic"), "magic"),
    "unknown solver": (certifying("--method", "lp", "--solver", "magic"), "magic"),
    "solver that cannot": (certifying("--method", "minlp", "--solver", "highs"), "SCIP"),
    "gap out of range": (certifying("--gap", -0.1), "--gap"),
    "delta out of range": (certifying("--delta", 1.5), "--delta"),
    "no time": (certifying("--timeout", 0), "--timeout"),
    "no nodes": (certifying("--max-nodes", 0), "--max-nodes"),
    "no workers": (certifying("--workers", 0), "--workers"),
    "shard out of range": (certifying("--shard", "3/2"), "--shard"),
    "shard that is none": (certifying("--shard", "half"), "--shard"),
    "more shards than parts": (certifying("--shard", "2/9"), "shards"),
    "run folder is a file": (lambda b: [*certifying()(b), "--out", b.write("file", "x")], "file"),
    "run folder below a file": (lambda b: [*certifying()(b), "--out", b.write("file", "x") + "/run"], "file"),
    "run folder not empty": (lambda b: [*certifying()(b), "--out", Path(b.pair[0]).parent], "not empty"),
    "no write permission": (certifying("--out", "/proc/self/run"), "/proc/self/run"),
    "nothing to resume": (lambda b: ["certify", "--resume", "--out", b.folder / "none"], "run folder"),
    "damaged summary": (lambda b: ["certify", "--resume", "--out", b.damaged_run("summary.json", '{"request"')], "damaged"),
    "damaged certificates": (
        lambda b: ["certify", "--resume", "--out", b.damaged_run("certificates.jsonl", "?\n")], "certificates.jsonl",
    ),
    "damaged witnesses": (lambda b: ["report", b.damaged_run("witnesses.npz", "?")], "witnesses.npz"),
    "report of no run": (lambda b: ["report", b.folder], "run folder"),
    "report of nothing": (lambda b: ["report"], "RUN"),
    "unknown recipe": (lambda b: ["train", "cifar-teacher", "--out", b.folder / "x.safetensors"], "cifar-teacher"),
    "recipe that is no TOML": (lambda b: ["train", b.write("x.toml", "= 3"), "--out", b.folder / "x.safetensors"], "TOML"),
    "recipe with an unknown setting": (
        lambda b: ["train", b.write("x.toml", "speed = 3"), "--out", b.folder / "x.safetensors"], "speed",
    ),
    "training to nowhere": (lambda b: ["train", "mnist-teacher"], "--out"),
    "training over a file": (lambda b: ["train", "mnist-teacher", "--out", b.pair[0]], "exists"),
    "training to a wrong name": (
        lambda b: ["train", "mnist-teacher", "--data", "mnist-sample", "--out", b.folder / "x.pt"], "safetensors",
    ),
    "unknown distillation method": (
        lambda b: ["distill", "magic", "--teacher", b.pair[0], "--out", b.folder / "x.safetensors"], "magic",
    ),
    "distilling without a teacher": (lambda b: ["distill", "fd", "--out", b.folder / "x.safetensors"], "--teacher"),
    "unknown attack": (lambda b: ["evaluate", b.pair[0], "--data", "mnist-sample", "--attack", "magic", "--eps", 0.1], "magic"),
    "evaluating on other data": (lambda b: ["evaluate", b.pair[0], "--data", "fashion-mnist-sample"], "fashion-mnist"),
    "card of a folder": (lambda b: ["info", b.folder], "folder"),
    "card of nothing": (lambda b: ["info", "nothing"], "nothing"),
    "unknown data set to fetch": (lambda b: ["data", "fetch", "cifar"], "cifar"),
    "unknown command": (lambda b: ["certfy"], "certfy"),
    "unknown option": (certifying("--epsilon", 0.1), "--epsilon"),
}  # fmt: skip


def said(result) -> str:
    """The one sentence of a failed command, checked to be one."""
    assert result.exit_code in (1, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return one_sentence(result.output)


def one_sentence(output: str) -> str:
    assert "Traceback" not in output and "unexpected error" not in output, output
    (start,) = [number for number, line in enumerate(output.splitlines()) if line.startswith("Error: ")]
    sentence = " ".join(output.splitlines()[start:])
    assert len(sentence) < 700
    return sentence


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, expected = CASES[case]
    bench = Bench(tmp_path, pair)
    given = arguments(bench)
    before = sorted(bench.out.rglob("*"))
    assert expected.lower() in said(run(*given)).lower()
    assert sorted(bench.out.rglob("*")) == before, "something was written"


def test_cuda_where_there_is_none(pair, tmp_path):
    if torch.cuda.is_available():
        assert (
            certify(*pair, "--eps", 0.01, "--images", 1, "--device", "cuda", "--out", tmp_path / "run").exit_code == 0
        )
    else:
        assert "cuda" in said(run(*certifying("--device", "cuda")(Bench(tmp_path, pair))))


@pytest.mark.parametrize(("solver", "module"), [("gurobi", "gurobipy"), ("highs", "highspy")])
def test_missing_solver(pair, tmp_path, monkeypatch, solver, module):
    monkeypatch.setitem(sys.modules, module, None)
    result = run(*certifying("--method", "lp", "--solver", solver)(Bench(tmp_path, pair)))
    assert "install" in said(result) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_expired_licence(pair, tmp_path):
    licence = tmp_path / "gurobi.lic"
    licence.write_text("EXPIRATION=2020-01-01\nLICENSEID=12345\nHOSTID=12345678\nVERSION=13\nKEY=AAAAAAAA\n")
    arguments = certifying("--method", "lp", "--solver", "gurobi")(Bench(tmp_path, pair))
    done = run_process(*arguments, env={**environment(), "GRB_LICENSE_FILE": str(licence)})
    assert done.returncode == 1 and not (tmp_path / "run").exists()
    assert "licence" in one_sentence(done.stderr)


def test_softmax_inside_the_network(tmp_path):
    with pytest.raises(verify.Unsupported, match="Softmax"):
        network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=1))
        verify.faithfulness(network, network, torch.zeros(1, 1, 28, 28), eps=0.1)


@pytest.mark.slow
def test_full_disk_leaves_a_run_that_can_go_on(pair, finished, tmp_path):
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    folder = tmp_path / "run"
    request = json.loads((finished / "summary.json").read_text())["request"]
    arguments = [
        "certify",
        *pair,
        *(word for eps in request["eps"] for word in ("--eps", eps)),
        "--images",
        request["images"],
    ]
    done = run_process(*arguments, "--method", request["method"], "--out", folder, preexec_fn=no_room)
    assert done.returncode == 1, done.stderr
    assert str(folder) in one_sentence(done.stderr)
    kept = untimed(folder)
    assert 0 < len(kept) < 2 * request["images"]
    assert run("report", folder).exit_code == 0
    assert certify("--resume", "--out", folder).exit_code == 0
    assert untimed(folder) == untimed(finished)


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_full_disk_behind_stdout(tmp_path, more):
    arguments = certifying("--no-report", *more)(Bench(tmp_path, small_pair(tmp_path)))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=120
        )
    assert done.returncode == 1
    assert "full" in one_sentence(done.stderr)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "complete"


@pytest.mark.slow
def test_a_reader_that_goes_away(tmp_path):
    arguments = certifying("--no-report", "--json")(Bench(tmp_path, small_pair(tmp_path)))
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=120) == 1
    assert "Traceback" not in errors
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "complete"


def test_out_of_memory(pair, tmp_path, monkeypatch):
    def starve(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(verify, "faithfulness", starve)
    assert "memory" in said(run(*certifying()(Bench(tmp_path, pair))))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "failed"
    monkeypatch.undo()
    assert certify("--resume", "--out", tmp_path / "run").exit_code == 0


def test_debug_shows_the_traceback(pair, tmp_path):
    bad = with_models(lambda bench: ("nowhere", bench.pair[1]))(Bench(tmp_path, pair))
    assert "Traceback" in run("--debug", *bad).output
    assert "Traceback" in run(*bad, "--debug").output


def test_a_finished_run_survives_every_refusal(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for more in (
        ["--out", folder],
        ["--out", folder, "--resume", "--seed", 5],
        ["--out", folder, "--resume", "--eps", "x"],
    ):
        assert said(certify(*more))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
