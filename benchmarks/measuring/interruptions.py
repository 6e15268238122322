"""Commands that are killed, or told to stop, at random moments of their whole life: what is said, and what comes of it after `--resume`.

    python benchmarks/measuring/interruptions.py --workers 2        # 50 kills and 200 times Ctrl-C a signal to the process or to its group
    python benchmarks/measuring/interruptions.py --kills 3 --stops 3 --out FOLDER

Each case starts a command in a folder of its own, sends the signal after a time drawn from all of those that the whole command takes
(from 0.15 s on: before, Python itself is not ready to be asked), looks at how it ended, continues it, and compares what is then there
with what the command leaves when nobody disturbs it: certificates but for their seconds, witnesses, networks byte by byte, searches.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.record import RESULTS, Record, Row, Task, measure_all, timed
from tests.faithkd.running import command, environment, small_pair

FIRST = 0.15
LIMIT = 180
RUN = ("--eps", "0.05", "--images", "50", "--max-nodes", "8", "--timeout", "1000")
COMMANDS: dict[str, tuple[str, ...]] = {
    "certify, 1 worker": ("certify", "{teacher}", "{student}", *RUN, "--out", "{out}"),
    "certify, 2 workers": ("certify", "{teacher}", "{student}", *RUN, "--workers", "2", "--out", "{out}"),
    "train": ("train", "mnist-st", "--data", "mnist-sample", "--epochs", "3", "--out", "{out}/net.safetensors"),
    "distill": (
        "distill", "sd", "--recipe", "mnist-sd", "--teacher", "mnist-teacher", "--data", "mnist-sample", "--epochs", "3",
        "--out", "{out}/net.safetensors",
    ),
    "benchmark": (
        "benchmark", "mnist", "--images", "2", "--student", "sd", "--eps", "0.01", "--timeout", "60", "--workers", "2",
        "--out", "{out}",
    ),
}  # fmt: skip
"""Small ones of each kind; `{out}` is the case's folder."""
WEIGHTS = (3, 3, 3, 3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="cases at a time")
    parser.add_argument("--out", type=Path, help="another folder for the record")
    options = parser.parse_args()
    record = Record("interruptions", options.out or RESULTS)
    with tempfile.TemporaryDirectory(prefix="interruptions-") as place:
        pair = dict(zip(("teacher", "student"), small_pair(Path(place)), strict=True))
        wholes = {name: _whole(name, Path(place), pair) for name in COMMANDS}
        tasks = list(planned(options, place, pair, wholes))
        rows = list(measure_all(record, tasks, options.workers, apart=True))
    sys.exit(report(rows))


def planned(options: argparse.Namespace, place: str, pair: dict[str, str], wholes: dict[str, float]) -> Iterator[Task]:
    """The cases: which command, which signal, to whom, when."""
    for kind, count in (("kill -9", options.kills), ("Ctrl-C", options.stops)):
        for number in range(count):
            draws = random.Random(f"{options.seed}/{kind}/{number}")
            (name,) = draws.choices(list(COMMANDS), WEIGHTS)
            moment = draws.uniform(FIRST, wholes[name])
            group = draws.random() < 0.5
            key = {"signal": kind, "number": number, "command": name, "to": "group" if group else "process"}
            yield Task(key, measured, (name, kind, group, moment, place, pair, number))


def measured(*case: Any) -> Row:
    """A row's values."""
    return timed(lambda: _case(*case))


def _case(name: str, kind: str, group: bool, moment: float, place: str, pair: dict[str, str], number: int) -> Row:
    out = Path(place) / f"{kind}-{number}".replace(" ", "")
    out.mkdir()
    process = _started(_filled(name, out, pair))
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        sent = signal.SIGKILL if kind == "kill -9" else signal.SIGINT
        (os.killpg if group and sent == signal.SIGINT else os.kill)(process.pid, sent)
    try:
        _, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        return {"at": round(moment, 2), "wrong": "it did not end"}
    row: Row = {"at": round(moment, 2), "status": process.returncode, "state": _state(name, out)}
    problems = _problems(name, kind, process.returncode, errors, row["state"])
    if process.returncode != 0:
        problems += _continued(name, out, pair)
    if _outcome(name, out) != _outcome(name, Path(place) / _folder(name)):
        problems.append("its outcome is another")
    return {**row, "wrong": "; ".join(problems)} if problems else row


def _problems(name: str, kind: str, status: int, errors: str, state: str | None) -> list[str]:
    """What is wrong with how it ended."""
    if kind == "kill -9":
        return [] if status in (0, -signal.SIGKILL) else [f"status {status}: {errors[-500:]}"]
    problems = [] if status in (0, 130) else [f"status {status}"]
    if "Traceback" in errors or "Exception" in errors:
        problems.append(f"it said {errors[-2000:]}")
    if status == 130 and state == "running":
        problems.append("its folder says that it is running")
    return problems


def _continued(name: str, out: Path, pair: dict[str, str]) -> list[str]:
    words = [*_filled(name, out, pair)]
    if name in ("train", "distill") or _state(name, out) is not None:
        words += ["--resume"]
    done = _started(words)
    _, errors = done.communicate(timeout=LIMIT)
    return [] if done.returncode == 0 else [f"--resume ends with {done.returncode}: {errors[-500:]}"]


def _whole(name: str, place: Path, pair: dict[str, str]) -> float:
    """Do a command undisturbed; its seconds."""
    out = place / _folder(name)
    out.mkdir()
    began = time.monotonic()
    process = _started(_filled(name, out, pair))
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    return time.monotonic() - began


def _started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _filled(name: str, out: Path, pair: dict[str, str]) -> list[str]:
    return [word.format(out=out, **pair) for word in COMMANDS[name]]


def _folder(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def _state(name: str, out: Path) -> str | None:
    """What the folder says of how its run stands; None where it says nothing."""
    path = out / {"certify": "summary.json", "benchmark": "study.json"}.get(name.split(",")[0], "none")
    return json.loads(path.read_text())["state"] if path.exists() else None


def _outcome(name: str, out: Path) -> dict[str, Any]:
    """What two runs of a command must agree on."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        where = str(path.relative_to(out))
        if path.name == "certificates.jsonl":
            found[where] = [_untimed(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[where] = {array: arrays[array].tobytes() for array in arrays}
        elif path.suffix == ".safetensors":
            found[where] = path.read_bytes()
        elif path.parent.name == "searches":
            found[where] = _untimed(json.loads(path.read_text()))
        else:
            found[where] = None
    return found


def _untimed(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if "seconds" not in name and name not in ("digest", "sha256")}


def report(rows: list[Row]) -> int:
    """Print the counts; 1 if anything was wrong."""
    counts = Counter(
        (row["signal"], row["command"], "ended before" if row.get("status") == 0 else "stopped") for row in rows
    )
    for (kind, name, how), count in sorted(counts.items()):
        print(f"{kind}, {name}: {count} {how}")
    wrong = [row for row in rows if "wrong" in row]
    for row in wrong:
        print(json.dumps(row))
    print(f"{len(rows)} cases, {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    main()
