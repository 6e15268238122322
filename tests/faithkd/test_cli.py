"""The command line besides `certify`: quick to answer, the same numbers as the library, and honest about devices and files."""

import json
import os
import subprocess
import sys

import pytest
import torch

import faithkd
from faithkd import metrics
from faithkd.cli.main import COMMANDS
from faithkd.cli.options import Numbers
from faithkd.files import sha256
from faithkd.runs.request import Request, radius_label
from tests.faithkd.running import environment, run


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    code = (
        "import sys\nfrom faithkd.cli.main import main\n"
        f"try:\n    main({list(arguments)!r}, standalone_mode=False)\nfinally:\n    print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def seconds_of(*arguments: str) -> float:
    """Processor time of the best of three calls, the interpreter's start included: other work on the machine adds little to it."""
    times = []
    for _ in range(3):
        before = os.times()
        code = "from faithkd.cli.main import main; main()"
        subprocess.run(
            [sys.executable, "-c", code, *arguments], check=True, capture_output=True, env=environment(), timeout=60
        )
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(times)


def test_help_is_quick_and_imports_nothing_heavy():
    assert not {"torch", "numpy", "rich", "matplotlib", "msgspec", "jinja2"} & imported_by("--help")
    assert not {"torch", "numpy", "matplotlib", "msgspec", "jinja2"} & imported_by("certify", "--help")
    assert seconds_of("--help") < 0.3


def test_info_is_quick_and_imports_no_torch(pair):
    assert not {"torch", "matplotlib"} & imported_by("info", pair[0])
    assert seconds_of("info", pair[0]) < 2


@pytest.mark.slow
def test_a_network_is_loaded_without_the_compiler_of_torch():
    code = "import sys, faithkd; faithkd.load('mnist-fd'); sys.exit('torch._dynamo' in sys.modules or 'sympy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), timeout=60)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = run(command, "--help")
    assert result.exit_code == 0 and f"Usage: faithkd {command}" in result.output
    assert COMMANDS[command] in run("--help").output


def test_version():
    assert faithkd.__version__ in run("--version").output


def test_info_shows_the_card(pair):
    text = run("info", pair[0]).output
    assert "mlp, hidden 8 8" in text and "0.3081" in text and sha256(pair[0]) in text and len(text.splitlines()) < 20
    embedded = run("info", "mnist-fd").output
    assert sha256(faithkd.checkpoint.find("mnist-teacher")) in embedded and "recorded figures" in embedded
    card = json.loads(run("info", pair[0], "--json").output)
    assert card["architecture"]["arguments"]["hidden"] == [8, 8] and card["dataset"] == "mnist"


def test_data_list_and_where(tmp_path, monkeypatch):
    listed = run("data", "list", "--data-dir", tmp_path).output
    assert all(name in listed for name in ("mnist", "fashion-mnist", "mnist-sample", "60,000"))
    result = run("data", "where", "mnist", "--data-dir", tmp_path)
    assert result.exit_code == 1 and "faithkd data fetch mnist" in result.output
    (tmp_path / "mnist").mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "mnist" / f"{name}-ubyte").touch()
    assert run("data", "where", "mnist", "--data-dir", tmp_path).output.strip() == str(tmp_path / "mnist")
    assert run("data", "fetch", "mnist", "--data-dir", tmp_path).exit_code == 0


def test_lists_of_recipes_and_methods():
    recipes, methods = run("train", "--list").output.split(), run("distill", "--list").output
    assert {"mnist-teacher", "fashion-mnist-fd"} <= set(recipes)
    assert {line.split()[0] for line in methods.splitlines()} > {"sd", "ard", "rslad", "fd"}


def test_distill_resumes_and_remembers_its_teacher(pair, tmp_path):
    common = [
        "distill",
        "sd",
        "--teacher",
        pair[0],
        "--data",
        "mnist-sample",
        "--epochs",
        2,
        "--device",
        "cpu",
        "--seed",
        3,
    ]
    whole = run(*common, "--out", tmp_path / "whole.safetensors")
    assert whole.exit_code == 0, whole.output
    assert "epoch 1 of 2" in whole.stderr and str(tmp_path / "whole.safetensors") in whole.stdout
    student = faithkd.load(tmp_path / "whole.safetensors")
    assert student.card.teacher == sha256(pair[0]) and student.card.method == "sd" and student.card.seed == 3
    again = run(*common, "--resume", "--out", tmp_path / "whole.safetensors")
    assert again.exit_code == 0 and "epoch" not in again.stderr.replace("2 epochs", "")
    refused = run(*common, "--out", tmp_path / "whole.safetensors")
    assert refused.exit_code == 1 and "exists" in refused.output


def test_train_by_a_recipe_in_a_file(tmp_path):
    recipe = tmp_path / "quick.toml"
    recipe.write_text(
        'dataset = "mnist"\narchitecture = "mnist-student"\nmethod = "st"\nepochs = 1\nlearning_rate = 0.05\n'
        "final_learning_rate = 0.01\nweight_decay = 0.0\nheld_out = 100\nbatch_size = 32\n"
    )
    out = tmp_path / "network.safetensors"
    result = run("train", recipe, "--data", "mnist-sample", "--device", "auto", "--out", out)
    assert result.exit_code == 0, result.output
    if not torch.cuda.is_available():
        assert "CPU" in result.stderr
    images, labels = faithkd.data.load("mnist-sample")
    assert metrics.accuracy(faithkd.load(out), images, labels) > 0.5


def test_an_unexpected_error_is_one_sentence(pair, monkeypatch):
    def fail(path):
        raise ZeroDivisionError("by design")

    monkeypatch.setattr("faithkd.card.read_card", fail)
    result = run("info", pair[0])
    assert result.exit_code == 1
    assert "by design" in result.output and "--debug" in result.output and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("eps", "label"), [(0.1, "0.1"), (8 / 255, "8/255"), (0.0, "0"), (0.025, "0.025"), (1 / 3, "85/255")]
)
def test_radii_are_written_as_people_do(eps, label):
    assert radius_label(eps) == label
    assert radius_label(eps, "pixel") == f"{label} pixel"


def test_a_request_survives_json():
    request = Request(eps=(0.1, 8 / 255), index=(3, 5), valid_range=(-1.0, 1.0), architecture=("mnist-teacher",))
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request


@pytest.mark.parametrize(
    "numbers",
    ["5-0", "0-99999999999", "0-9999999999999999999999999", "9" * 5000, "1,,2", "-", "1-2-3", "0-600000,0-600000", "x"],
)
def test_numbers_that_are_none_or_too_many(numbers):
    for option in ("--seeds", "--keep-epochs"):
        result = run("train", "mnist-teacher", option, numbers)
        assert result.exit_code == 2 and option in result.output


def test_numbers_are_listed_in_the_order_given():
    assert Numbers().convert("4711, 3,5-7,-1", None, None) == (4711, 3, 5, 6, 7, -1)


def test_seeds_below_zero_are_refused(tmp_path):
    result = run("train", "mnist-st", "--data", "mnist-sample", "--seeds", "-1", "--out", tmp_path / "a.safetensors")
    assert result.exit_code == 1 and "seeds must be" in result.output
