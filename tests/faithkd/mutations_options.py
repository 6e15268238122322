"""Odd options, odd names of files, and odd surroundings."""

import os
from pathlib import Path
from random import Random

from tests.faithkd.mutations_common import CERTIFY, OTHERS, Case, reading_images, reading_networks, take

WORDS = (
    "", " ", "0", "-1", "1", "2", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 400, "8/255", "8/0", "0/0", "1/3/4", "0x10", "1_000",
    "٣", "½",
    "none", "None", "auto", "true", "[]", "a,b", ",", "1,2", "0-5", "5-0", "0-99999999999", "--", "-", "../..", "/dev/null", "/dev/zero",
    "/proc/self/mem", "/", ".", "~", "x" * 5000, "\x1b[31m", "[red]", "[/]", "%s%n", "{0}", "名前", "\udc80", "a b", "mnist",
    "mnist-sample",
    "cifar10", "mnist-teacher", "mnist-student", "resnet-18", "wrn-70-16", "vit-s-16", "teacher.safetensors", "own.npz", "recipe.toml",
    "weights.pt", "pixel", "normalised", "crown", "lp", "complete", "milp", "minlp", "cbc", "highs", "cuda", "cpu", "ray", "local",
    "pgd-3",
    "pgd-0", "pgd-99999999999", "fgsm", "random-search-1", "1/1", "2/2", "1e18", "18446744073709551616", "0.001", "settings.alpha=0.5",
    "epochs=0", "dropout=0.5", "batch_size=1e9",
)  # fmt: skip
"""What stands in for the value of an option."""
OPTIONS = {
    "certify": (["teacher.safetensors", "student.safetensors", *CERTIFY], (
        "--data", "--data-dir", "--eps", "--unit", "--images", "--index", "--seed", "--delta", "--method", "--gap", "--timeout",
        "--max-nodes",
        "--solver", "--architecture", "--mean", "--std", "--device", "--engine", "--workers", "--shard", "--out", "--fail-above",
        "--import",
        "--no-clip", "--resume", "--json", "--no-search",
    )),
    "evaluate": (["teacher.safetensors", "--data", "own.npz", "--images", "2"], (
        "--data", "--data-dir", "--attack", "--eps", "--unit", "--teacher", "--images", "--seed", "--batch", "--architecture",
        "--mean", "--std",
        "--device", "--out", "--import", "--json", "--no-clip",
    )),
    "info": (["teacher.safetensors"], ("--architecture", "--mean", "--std", "--data", "--import", "--json")),
    "train": (["recipe.toml", "--data", "train.npz", "--out", "out.safetensors", "--epochs", "1"], (
        "--data", "--data-dir", "--device", "--student-from", "--seed", "--seeds", "--set", "--keep-epochs", "--import", "--resume",
        "--out",
        "--epochs",
    )),
    "distill": ([
        "sd", "--teacher", "mnist-teacher", "--recipe", "mnist-sd", "--data", "train.npz", "--out", "out.safetensors", "--epochs", "1",
    ], (
        "--teacher", "--weights", "--recipe", "--data", "--device", "--student-from", "--seed", "--seeds", "--set", "--keep-epochs",
        "--import",
        "--epochs",
    )),
    "report": (["own.npz"], ("--out",)),
    "data": (["where", "mnist"], ("--data-dir",)),
    "benchmark": (["mnist", "--images", "0"], (
        "--seed", "--eps", "--timeout", "--student", "--networks", "--device", "--workers", "--out", "--import", "--resume",
    )),
}  # fmt: skip
"""By command, what it is given when nothing is wrong, and the options that are tried."""
FLAGS = {"--no-clip", "--resume", "--json", "--no-search"}
SLOW = {
    *(("--eps", word) for word in ("1", "2", "8/255", "1e18")), ("--engine", "ray"), ("--attack", "pgd-99999999999"), ("--epochs",
    "1e18"),
    ("--method", "complete"), ("--method", "milp"), ("--method", "minlp"), ("--architecture", "wrn-70-16"),
}  # fmt: skip
"""What is no mistake and takes its time."""


def options(seeds: Path, folder: Path, rng: Random) -> Case:
    """Options with other values, twice, or without one."""
    take(
        seeds, folder, "teacher.safetensors", "student.safetensors", "own.npz", "train.npz", "recipe.toml", "weights.pt"
    )
    command = rng.choice([name for name, (_, known) in OPTIONS.items() for _ in known[::3]])
    given, known = OPTIONS[command]
    words = list(given)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.2:
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            continue
        option, value = rng.choice(known), rng.choice(WORDS)
        if (option, value) not in SLOW:
            words += [option] if option in FLAGS else [option, value]
    return Case([command, *words])


DEVICES = ("/dev/zero", "/dev/null", "/dev/full", "/proc/self/mem", "/proc/self/status", "/dev/random")


def names_of_nothing(seeds: Path, folder: Path, rng: Random) -> Case:
    """Something that is no file, or another one, where a file is expected."""
    names = ["teacher.safetensors", "student.safetensors", "own.npz", "train.npz", "recipe.toml", "net.state"]
    take(seeds, folder, *names)
    name = rng.choice(names)
    path = folder / name
    path.unlink()
    kind = rng.randrange(9)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(rng.choice(DEVICES))
    elif kind == 3:
        path.symlink_to(rng.choice((name, "nowhere", "/", ".", "..")))
    elif kind == 4:
        with path.open("wb") as file:
            file.truncate(2 ** rng.choice((20, 27)))
    elif kind == 5:
        path.write_bytes(rng.choice(OTHERS))
    elif kind == 6:
        path.write_bytes(rng.randbytes(rng.randrange(1, 5000)))
    elif kind == 7:
        path.write_bytes((seeds / rng.choice([other for other in names if other != name])).read_bytes())
    if name == "own.npz":
        return Case(reading_images(seeds, folder, rng, name))
    if name in ("train.npz", "recipe.toml", "net.state"):
        return Case(["train", "recipe.toml", "--data", "train.npz", "--out", "net.safetensors", "--resume"])
    return Case(reading_networks(seeds, folder, rng, "teacher.safetensors", "student.safetensors"))


VARIABLES = (
    "MPLBACKEND", "MPLCONFIGDIR", "MATPLOTLIBRC", "TMPDIR", "FAITHKD_DATA", "HOME", "XDG_CACHE_HOME", "COLUMNS", "LINES", "TERM", "LANG",
    "LC_ALL", "NO_COLOR", "GRB_LICENSE_FILE", "FAITHKD_NATIVE", "RAY_ADDRESS", "RANK", "PATH", "http_proxy",
)  # fmt: skip
SETTINGS = (None, "", "nowhere", "a b é", "/dev/null", "/proc", "pipe", "own.npz", "\x1b", "0", "-1", "x" * 3000)


def surroundings(seeds: Path, folder: Path, rng: Random) -> Case:
    """An environment that is odd."""
    take(
        seeds, folder, "teacher.safetensors", "student.safetensors", "own.npz", "train.npz", "recipe.toml", "net.state"
    )
    (folder / "a b é").mkdir()
    os.mkfifo(folder / "pipe")
    changed = {rng.choice(VARIABLES): rng.choice(SETTINGS) for _ in range(rng.choice((1, 2, 3)))}
    methods = ("interval", "auto"), ("crown", "auto"), ("lp", "cbc"), ("lp", "highs"), ("milp", "auto")
    method, solver = rng.choice(methods)
    certify = [
        "certify", "teacher.safetensors", "student.safetensors", "--images", "1", "--eps", "0.002", "--method", method, "--solver",
        solver,
        "--timeout", "1", "--out", "run", rng.choice(("--report", "--no-report", "--no-report", "--no-report")),
    ]  # fmt: skip
    train = ["train", "recipe.toml", "--data", "train.npz", "--out", "net.safetensors", "--resume"]
    others = ["data", "list"], ["data", "where", "fashion-mnist"], ["info", "teacher.safetensors"]
    evaluate = ["evaluate", "teacher.safetensors", "--data", "own.npz"]
    return Case(rng.choice((certify, certify, [*certify, "--json"], train, evaluate, *others)), changed)
