"""Imports run one way only: `verify` never imports `faithkd`."""

import ast
from pathlib import Path

import verify


def test_verify_does_not_import_faithkd() -> None:
    files = list(Path(verify.__file__).parent.rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "faithkd" for name in names), file
