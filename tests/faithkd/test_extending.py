"""The page on extending faithkd: its code is short, and runs as it stands."""

import re
import subprocess
import sys

import pytest

from faithkd.card import read_card
from tests.faithkd.running import ROOT, environment, run_process

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def block(kind: str) -> str:
    """The page's only block of code of one kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


def test_the_code_of_the_page_is_short():
    lines = [line for kind in ("python", "toml") for line in block(kind).splitlines() if line.strip()]
    assert len(lines) < 60


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path):
    (tmp_path / "mine.py").write_text(block("python"))
    (tmp_path / "student.toml").write_text(block("toml"))
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"largest difference of confidences: ([\d.]+) to ([\d.]+)\n", done.stdout)
    assert found and 0 < float(found[1]) <= float(found[2]) < 1
    (command,) = [line.split() for line in block("console").splitlines()]
    done = run_process(*command[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    teacher, student, other = (read_card(tmp_path / f"{name}.safetensors") for name in ("teacher", "student", "other"))
    assert (teacher.architecture["name"], teacher.method) == ("wide", "st")
    assert (
        (student.architecture["name"], student.method)
        == (other.architecture["name"], other.method)
        == ("narrow", "logits")
    )
    assert other.recipe["settings"] == {"alpha": 0.5}
    for card in (teacher, student, other):
        assert card.metrics["held_out_clean"] > 0.8 and card.classes == 4
    done = run_process("info", "other.safetensors", cwd=tmp_path)
    assert done.returncode == 0 and "narrow" in done.stdout
