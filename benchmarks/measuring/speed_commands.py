"""How soon the commands answer, the start of the interpreter included."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from benchmarks.measuring.record import Row, Task, timed
from benchmarks.measuring.speed_effort import Effort

COMMANDS = (
    "--help",
    "--version",
    "info mnist-fd",
    "certify --help",
    "data list",
    "certify --images 1 --eps 0.01 --method interval --no-report --out FOLDER",
)


def tasks(effort: Effort) -> list[Task]:
    """The quickest and the slowest of some calls of each command."""
    calls = effort.of(5, 2)
    return [
        Task({"figure": "commands", "command": f"faithkd {command}", "calls": calls}, answer, (command, calls))
        for command in COMMANDS
    ]


def answer(command: str, calls: int) -> Row:
    """Seconds of a command, the best and the worst of several calls; the first of all also reads the files into memory."""
    rows = [timed(lambda: _call(command)) for _ in range(calls)]
    best = min(rows, key=lambda row: row["seconds"])
    return {**best, "worst": max(row["seconds"] for row in rows)}


def _call(command: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        words = [f"{folder}/run" if word == "FOLDER" else word for word in command.split()]
        code = "from faithkd.cli.main import main; main()"
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    return {}
