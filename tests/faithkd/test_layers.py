"""What is stored stands below what is done, and that below the pages and the command line: who imports whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faithkd.running import ROOT

BELOW: dict[str, set[str]] = {
    "text": set(),
    "errors": {"text"},
    "files": {"errors"},
    "archives": {"errors", "files"},
    "runs": {"errors", "files", "archives"},
    "pages": {"text"},
    "report": {"errors", "files", "runs", "pages"},
}
"""For each part of the package what it may import of the package, besides itself."""
ABOVE = ("study", "evaluation", "report", "pages", "cli")
"""What certification must not know."""


def modules(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path: Path) -> set[str]:
    """The parts of the package among them."""
    return {name.split(".")[1] for name in modules(path) if name.startswith("faithkd.")}


def files(part: str) -> list[Path]:
    folder = ROOT / "faithkd" / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


@pytest.mark.parametrize("part", BELOW)
def test_a_part_imports_only_what_stands_below_it(part):
    for path in files(part):
        assert imported(path) <= BELOW[part] | {part}, path


def test_certification_knows_nothing_of_pages_and_studies():
    for path in files("certification"):
        assert not imported(path) & set(ABOVE), path


def test_what_is_done_knows_nothing_of_the_command_line():
    for part in ("study", "evaluation", "training", "data", "metrics", "attacks"):
        for path in files(part):
            assert "cli" not in imported(path), path


def test_verify_knows_nothing_of_faithkd():
    for path in (ROOT / "verify").rglob("*.py"):
        assert not any(name.split(".")[0] == "faithkd" for name in modules(path)), path
