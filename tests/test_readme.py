"""The tables of the README and of docs/results.md are those of the recorded results, and the README's Python example runs."""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from faithkd.checkpoint import find, sha256
from faithkd.pages.markdown import markdown
from faithkd.pages.studies.document import study_document

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
    for row in importlib.import_module("tables").recorded("certifier"):
        if row["what"] == "networks":
            for name in ("teacher", "sd", "ard", "rslad", "fd"):
                assert row[name] == sha256(find(f"{row['dataset']}-{name}"))


def test_the_figure_of_gap_against_time_is_of_the_recorded_runs(generator: ModuleType) -> None:
    figure = ROOT / "docs" / "figures" / "gap-time.svg"
    rows = importlib.import_module("tables").recorded("gap-time")
    assert figure.exists() == any(row["what"] == "curve" for row in rows)
    if figure.exists():
        assert importlib.import_module("curves").digest(rows) in figure.read_text()


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_the_recorded_studies_are_whole_and_of_the_embedded_networks(dataset: str) -> None:
    folder = ROOT / "docs" / "studies" / dataset
    study = json.loads((folder / "report.json").read_text())
    assert study["state"] == "complete" and not study["missing"] and study["plan"]["images"] == 1000
    for name, network in study["networks"].items():
        assert network["sha256"] == sha256(find(f"{dataset}-{name}"))
    assert markdown(study_document(study)) == (folder / "report.md").read_text()
    shown = set(re.findall(r"\((figures/[^)]*)\)", (folder / "report.md").read_text()))
    assert len(shown) == 8 and all((folder / path).stat().st_size > 10_000 for path in shown)


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_the_recorded_ratios_are_below_the_papers_in_every_cell(dataset: str) -> None:
    study = json.loads((ROOT / "docs" / "studies" / dataset / "report.json").read_text())
    ratios = {
        (row["region"], row["network"], row["eps"]): (row["ratio"], row["paper"]["ratio"]) for row in study["bounds"]
    }
    assert len(ratios) == 2 * 4 * 5
    assert [cell for cell, (here, paper) in ratios.items() if not 1 <= here < paper] == []


def test_the_page_of_the_methods_is_of_the_recorded_rows(generator: ModuleType) -> None:
    methods = importlib.import_module("methods")
    rows = importlib.import_module("tables").recorded("methods")
    assert {row["row"] for row in rows} == set(methods.ROWS)
    assert methods.the_page(rows, methods.EPOCHS) == (ROOT / "benchmarks" / "results" / "methods.md").read_text()


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
