"""The order of the mathematics: a file imports only what stands above it, and docs/architecture.md has a line for every file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERIFY = (
    "errors", "rounding", "region", "entry", "network", "passes", "programs", "single", "measures", "attained", "joint", "branching",
    "methods", "faithfulness", "decisions",
)  # fmt: skip
FAITHKD = (
    "text", "errors", "interrupts", "files", "archives", "strict_json", "torch_files", "kinds", "imports", "device", "processes",
    "embedded", "data", "card", "models", "checkpoint", "attacks", "metrics", "distillation", "recipes", "training", "runs",
    "certification", "study", "evaluation", "pages", "cli", "program",
)  # fmt: skip
PAGES = ("content", "drawing", "html", "markdown", "terminal", "runs", "studies", "evaluations")
FILES = sorted(
    path.relative_to(ROOT / "verify") for path in (ROOT / "verify").rglob("*.py") if path.name != "__init__.py"
)


def imported(path: Path, package: str) -> set[str]:
    """The modules of a package that a file imports when it is run: not what only a type checker reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            found.add(node.module)
            found |= {f"{node.module}.{name.name}" for name in node.names}
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.split(".")[0] == package}
    return {".".join(name.split(".")[1:]) for name in found}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_of_verify_imports_only_what_stands_above_it(path: Path) -> None:
    own = VERIFY.index(path.with_suffix("").parts[0])
    for name in imported(ROOT / "verify" / path, "verify"):
        part = name.split(".")[0]
        assert part not in VERIFY or VERIFY.index(part) <= own, f"{path} imports {name}, which stands below it"


def test_no_import_of_verify_goes_round() -> None:
    modules = {".".join(path.with_suffix("").parts): path for path in FILES}
    edges = {
        name: {other for other in imported(ROOT / "verify" / path, "verify") if other in modules}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in modules:
        visit(name, ())


@pytest.mark.parametrize(("folder", "order"), [("", FAITHKD), ("pages", PAGES)], ids=["faithkd", "pages"])
def test_a_file_of_faithkd_imports_only_what_stands_above_it(folder: str, order: tuple[str, ...]) -> None:
    top = ROOT / "faithkd" / folder
    prefix = f"{folder}." if folder else ""
    for path in top.rglob("*.py"):
        own = path.relative_to(top).with_suffix("").parts[0]
        above = order[: order.index(own) + 1] if own != "__init__" else order
        for name in imported(path, "faithkd"):
            part = name.removeprefix(prefix).split(".")[0] if name.startswith(prefix) else ""
            assert part not in order or part in above, f"{path} imports {name}, which stands below it"


def test_verify_knows_nothing_of_faithkd() -> None:
    assert not any(imported(ROOT / "verify" / path, "faithkd") for path in FILES)


def test_every_file_of_verify_has_its_line() -> None:
    named = set(re.findall(r"^([\w/]+\.(?:py|c|h))\s", section("`verify/`"), re.MULTILINE))
    there = {str(path) for path in FILES} | {
        str(path.relative_to(ROOT / "verify")) for path in (ROOT / "verify").rglob("*.[ch]")
    }
    assert named == there


def test_every_part_of_faithkd_has_its_line_in_this_order() -> None:
    named = re.findall(r"^([\w/]+?)(?:/|\.py)\s", section("`faithkd/`"), re.MULTILINE)
    assert named == [*FAITHKD, *(f"pages/{name}" for name in PAGES)]
    for folder, order in (("", FAITHKD), ("pages", PAGES)):
        there = {
            path.stem
            for path in (ROOT / "faithkd" / folder).iterdir()
            if (path / "__init__.py").exists() or path.suffix == ".py"
        }
        assert there - {"__init__"} == set(order)


def section(title: str) -> str:
    """The part of docs/architecture.md under a heading that begins so."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return next(part for part in text.split("\n## ") if part.startswith(title))
