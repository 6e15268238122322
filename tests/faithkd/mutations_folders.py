"""Run folders and studies that were damaged: their mutators are in `mutations_runs`, which knows what is in them."""

import shutil
from pathlib import Path
from random import Random

from tests.faithkd import mutations_runs
from tests.faithkd.mutations_common import Case
from tests.faithkd.running import run

RUN = ("--images", 4, "--eps", 0.01, "--eps", 0.02, "--method", "crown")
STUDY = ("--images", 2, "--student", "sd", "--eps", 0.01, "--timeout", 0.01)


def make_seeds(folder: Path) -> None:
    """A finished run of the embedded pair, and a finished study."""
    for command in (
        ("certify", *RUN, "--out", folder / "run"),
        ("benchmark", "mnist", *STUDY, "--out", folder / "study"),
    ):
        result = run(*command)
        assert result.exit_code == 0, result.output


def case(seeds: Path, folder: Path, rng: Random) -> tuple[str, Case]:
    """One of the two, damaged, and a command that reads it."""
    name = rng.choice(("run", "run", "study"))
    shutil.copytree(seeds / name, folder / name)
    mutations_runs.mutations(folder / name, rng)
    resume = ["certify", "--resume", "--no-report", "--out", name]
    if name == "study":
        resume = ["benchmark", "mnist", "--resume", "--out", name]
    return f"damaged {name}", Case(rng.choice((["report", name], resume)))
