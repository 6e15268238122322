"""Small pairs on disk and runs of the command line, in this process or in one of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from click.testing import CliRunner, Result

from faithkd.checkpoint import card_for, save
from faithkd.cli.main import main
from faithkd.models import mlp

ROOT = Path(__file__).parents[2]
NORMALISED = ("--unit", "normalised")


def checkpoint(path: Path, hidden: tuple[int, ...], seed: int, classes: int = 10, dataset: str | None = "mnist") -> str:
    """A network with random weights, saved; returns its path."""
    model = mlp(hidden, 0.1307, 0.3081, classes=classes, generator=torch.Generator().manual_seed(seed))
    save(path, model, card_for(model, dataset=dataset, method="at", seed=seed))
    return str(path)


def small_pair(folder: Path) -> tuple[str, str]:
    """A teacher and a student of a few units, for MNIST."""
    return checkpoint(folder / "teacher.safetensors", (8, 8), 1), checkpoint(folder / "student.safetensors", (6,), 2)


def run(*arguments: object) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="faithkd")


def certify(*arguments: object) -> Result:
    """`faithkd certify` in this process, without a page."""
    return run("certify", "--no-report", *arguments)


def command(*arguments: object) -> list[str]:
    """The command line for a process of its own, which hears Ctrl-C even where this one was started in the background."""
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from faithkd.program import main; main()"
    return [sys.executable, "-c", begin, *map(str, arguments)]


def environment() -> dict[str, str]:
    """Its environment: this checkout, one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run_process(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    given = {"capture_output": True, "text": True, "env": environment(), "timeout": 120, **options}
    return subprocess.run(command(*arguments), **given)


def certificates(folder: Path) -> list[dict]:
    """The lines of a run folder."""
    return [json.loads(line) for line in (folder / "certificates.jsonl").read_text().splitlines()]


def untimed(folder: Path) -> list[dict]:
    """The same but for the seconds: what two runs must agree on."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in certificates(folder)]
