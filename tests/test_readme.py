"""The generated pages are those of the recorded results and of the embedded networks, and the README's Python example runs."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.assets import train_pairs
from benchmarks.measuring import curves
from benchmarks.measuring.methods import ROWS
from benchmarks.pages import methods, readme
from benchmarks.pages.tables import recorded
from faithkd.card import read_card
from faithkd.checkpoint import find, sha256
from faithkd.embedded import PAIRS
from faithkd.pages.markdown import markdown
from faithkd.pages.studies.document import study_document

ROOT = Path(__file__).parent.parent


def test_the_tables_are_the_recorded_ones() -> None:
    texts = [page.read_text() for page in readme.PAGES]
    assert [readme.filled(text) for text in texts] == texts
    for name, content in readme.parts().items():
        assert sum(content in text for text in texts) == 1, f"no page has a place for {name!r}, or both have"


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("record", ["paper-tables", "paper-programs"])
def test_the_records_are_of_the_embedded_networks(record: str, dataset: str) -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / f"{record}-{dataset}.json").read_text())["rows"]
    (networks,) = (row for row in rows if row["what"] == "networks")
    for name in ("teacher", "sd", "ard", "rslad", "fd"):
        assert networks[name] == sha256(find(f"{dataset}-{name}"))


def test_the_certifier_is_recorded_on_the_embedded_networks() -> None:
    for row in recorded("certifier"):
        if row["what"] == "networks":
            for name in ("teacher", "sd", "ard", "rslad", "fd"):
                assert row[name] == sha256(find(f"{row['dataset']}-{name}"))


def test_the_figure_of_gap_against_time_is_of_the_recorded_runs() -> None:
    figure = ROOT / "docs" / "figures" / "gap-time.svg"
    rows = recorded("gap-time")
    assert figure.exists() == any(row["what"] == "curve" for row in rows)
    if figure.exists():
        assert curves.digest(rows) in figure.read_text()


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


def test_the_page_of_the_methods_is_of_the_recorded_rows() -> None:
    assert {row["row"] for row in recorded("methods")} == set(ROWS)
    assert methods.page() == (ROOT / "benchmarks" / "results" / "methods.md").read_text()


def test_the_page_of_the_embedded_networks_is_of_their_cards() -> None:
    page = find(PAIRS[0]).with_name("README.md").read_text(encoding="utf-8")
    assert page == train_pairs.readme({name: read_card(find(name)) for name in PAIRS})


def test_the_first_two_commands_are_make() -> None:
    block = re.search(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    assert [line.split("#")[0].strip() for line in block[1].splitlines()] == ["make certify", "make test"]


@pytest.mark.slow
def test_the_python_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code[1].replace("sample(100", "sample(5"), names)
    assert names["upper"].shape == (5, 10, 10)  # type: ignore[attr-defined]
