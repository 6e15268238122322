"""The tables of the README and of docs/results.md are those of the recorded results, and the README's Python example runs."""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from faithkd.checkpoint import find, sha256

ROOT = Path(__file__).parent.parent


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_the_recorded_ones(generator: ModuleType) -> None:
    texts = [page.read_text() for page in generator.PAGES]
    assert [generator.filled(text) for text in texts] == texts
    for name, content in generator.parts().items():
        assert sum(content in text for text in texts) == 1, f"no page has a place for {name!r}, or both have"


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("record", ["paper-tables", "paper-programs"])
def test_the_records_are_of_the_embedded_networks(record: str, dataset: str) -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{record}-{dataset}.json").read_text())["rows"]
    (networks,) = (row for row in rows if row["what"] == "networks")
    for name in ("teacher", "sd", "ard", "rslad", "fd"):
        assert networks[name] == sha256(find(f"{dataset}-{name}"))


def test_the_certifier_is_recorded_on_the_embedded_networks(generator: ModuleType) -> None:
    for row in generator.recorded("certifier"):
        if row["what"] == "networks":
            for name in ("teacher", "sd", "ard", "rslad", "fd"):
                assert row[name] == sha256(find(f"{row['dataset']}-{name}"))


def test_the_figure_of_gap_against_time_is_of_the_recorded_runs(generator: ModuleType) -> None:
    figure = ROOT / "docs" / "figures" / "gap-time.svg"
    rows = generator.recorded("gap-time")
    assert figure.exists() == any(row["what"] == "curve" for row in rows)
    if figure.exists():
        assert importlib.import_module("curves").digest(rows) in figure.read_text()


def test_the_first_two_commands_are_make() -> None:
    block = re.search(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    assert [line.split("#")[0].strip() for line in block[1].splitlines()] == ["make certify", "make test"]


def test_the_python_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1].replace("sample(100", "sample(5"), names)
    assert names["upper"].shape == (5, 10, 10)  # type: ignore[attr-defined]
