"""3,000 inputs with something wrong, each given to the real command in a process of its own: what became of them.

python benchmarks/measuring/mutations.py [--count 3000] [--seed 0] [--first 0] [--out FILE] [--keep FOLDER]

Every case must end within 20 s and 1 GB, in a result, in one sentence, or in a word on usage. Processes are forked from this one, which
has everything imported, so that a case costs little more than its own work.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, NoReturn

sys.path.append(str(Path(__file__).parents[2]))

SECONDS, MEGABYTES = 20.0, 1000
"""What a case may take: wall clock, and resident memory of its process and what that starts, shared pages included."""
LONGEST = 800
SOURCES = {"tests.faithkd.mutations_inputs": 5, "tests.faithkd.mutations_folders": 1}
"""Modules of cases, and how often one is taken from each."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case. kind: done, sentence, usage; or what should not be: traceback, timeout, memory, signal, silent."""

    number: int
    mutator: str
    command: list[str]
    kind: str
    status: int
    seconds: float
    megabytes: float
    said: str


GOOD = ("done", "sentence", "usage")


def main() -> None:
    """The campaign, its record and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="Folder for the files of cases that went wrong.")
    given = parser.parse_args()
    _prepare()
    began = time.monotonic()
    found = campaign(given.seed, range(given.first, given.first + given.count), given.keep)
    row = {
        "seed": given.seed,
        "first": given.first,
        "limits": {"seconds": SECONDS, "megabytes": MEGABYTES},
        **summary(found),
    }
    row["wall_seconds"] = round(time.monotonic() - began, 1)
    if given.out is None:
        from benchmarks.measuring.record import Record

        Record("mutations").add(row)
    else:
        given.out.write_text(json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))
    sys.exit(0 if not row["wrong"] else 1)


def campaign(seed: int, numbers: range, keep: Path | None = None) -> list[Outcome]:
    """The outcomes of some cases, each drawn by the seed and its number."""
    mutators = [importlib.import_module(name) for name in SOURCES]
    found = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        seeds = Path(place) / "seeds"
        seeds.mkdir()
        for module in mutators:
            module.make_seeds(seeds)
        for number in numbers:
            folder = Path(place) / "case"
            folder.mkdir()
            rng = Random(f"{seed}/{number}")
            (module,) = rng.choices(mutators, list(SOURCES.values()))
            mutator, case = module.case(seeds, folder, rng)
            outcome = run(number, mutator, case, folder)
            found.append(outcome)
            if outcome.kind not in GOOD:
                print(json.dumps(asdict(outcome)), flush=True)
                if keep is not None:
                    shutil.copytree(folder, keep / str(number), symlinks=True, ignore=_special)
            shutil.rmtree(folder, ignore_errors=True)
    return found


def run(number: int, mutator: str, case: Any, folder: Path) -> Outcome:
    """One case in a process that is forked from this one and watched."""
    output = folder.with_name("output")
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        _child(case, folder, output)
    peak, ended = 0.0, "ended"
    while True:
        done, wait_status, used = os.wait4(process, os.WNOHANG)
        if done:
            break
        peak = max(peak, _resident(process))
        if time.monotonic() - began > SECONDS or peak > MEGABYTES:
            ended = "memory" if peak > MEGABYTES else "timeout"
            os.killpg(process, signal.SIGKILL)
            _, wait_status, used = os.wait4(process, 0)
            break
        time.sleep(0.01)
    seconds = time.monotonic() - began
    _end_group(process)
    text = output.read_bytes().decode("utf-8", "replace")
    status = os.waitstatus_to_exitcode(wait_status)
    # A forked process begins with the peak of its parent, which is below that of any case.
    peak = max(peak, used.ru_maxrss / 1024)
    kind = ended if ended != "ended" else "memory" if peak > MEGABYTES else _kind(status, text)
    return Outcome(
        number,
        mutator,
        [word[:80] for word in case.arguments],
        kind,
        status,
        round(seconds, 2),
        round(peak),
        text[-LONGEST:],
    )


def _kind(status: int, text: str) -> str:
    errors = [line for line in text.splitlines() if line.startswith("Error: ")]
    if "Traceback (most recent call last)" in text or "unexpected error" in text:
        return "traceback"
    if status < 0:
        return "signal"
    if status in (0, 3):
        return "done"
    if status == 2:
        return "usage"
    return "sentence" if status == 1 and len(errors) == 1 and len(errors[0]) <= LONGEST else "silent"


def summary(found: list[Outcome]) -> dict[str, Any]:
    """Counts by kind, and by mutator; the slowest, the largest, and all that went wrong."""
    slow, large = max(found, key=lambda one: one.seconds), max(found, key=lambda one: one.megabytes)
    return {
        "cases": len(found),
        "kinds": dict(Counter(one.kind for one in found)),
        "mutators": {
            name: dict(Counter(one.kind for one in found if one.mutator == name))
            for name in sorted({one.mutator for one in found})
        },
        "slowest": {"seconds": slow.seconds, "number": slow.number, "mutator": slow.mutator, "command": slow.command},
        "largest": {
            "megabytes": large.megabytes,
            "number": large.number,
            "mutator": large.mutator,
            "command": large.command,
        },
        "wrong": [asdict(one) for one in found if one.kind not in GOOD],
    }


def _prepare() -> None:
    """Import everything that a command may need, with one thread: a process with threads cannot be forked safely."""
    for name in (
        "torch", "torch.export", "safetensors.torch", "matplotlib.figure", "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg", "rich.console", "rich.table",
        "faithkd.cli.certify", "faithkd.cli.evaluate", "faithkd.cli.info", "faithkd.cli.train", "faithkd.cli.distill",
        "faithkd.cli.report", "faithkd.cli.benchmark",
        "faithkd.cli.data", "faithkd.certification.run", "faithkd.evaluation", "faithkd.training", "faithkd.pages", "faithkd.study",
        "faithkd.study.running", "pulp", "highspy",
        "gurobipy", "pyscipopt",
    ):  # fmt: skip
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


def _child(case: Any, folder: Path, output: Path) -> NoReturn:
    """The command, in the folder of its case."""
    status = 70
    try:
        os.setsid()
        os.chdir(folder)
        written, nothing = (
            os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            os.open(os.devnull, os.O_RDONLY),
        )
        for here, there in ((nothing, 0), (written, 1), (written, 2)):
            os.dup2(here, there)
        # No case may fill the machine's memory or disk before it is noticed.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 10**8, 2 * 10**8))
        resource.setrlimit(resource.RLIMIT_DATA, (6 * 2**30, 6 * 2**30))
        for name, value in case.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        from faithkd.cli.main import main as command

        command(case.arguments, prog_name="faithkd")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _resident(process: int) -> float:
    """Megabytes of a process and of its children that are in memory."""
    total = 0.0
    for member in (process, *_children(process)):
        try:
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        except (OSError, IndexError):
            continue
    return total


def _children(process: int) -> list[int]:
    try:
        words = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [child for word in words for child in (int(word), *_children(int(word)))]


def _end_group(process: int) -> None:
    """Whatever a case has left running."""
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _special(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied."""
    return [
        name
        for name in names
        if not (Path(folder) / name).is_symlink()
        and not ((Path(folder) / name).is_file() or (Path(folder) / name).is_dir())
    ]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
