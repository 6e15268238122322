"""Reports: the page stands alone and says what the certificates say; odd runs do not break it."""

import json
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from faithkd import UserError
from faithkd.pages import write_report
from faithkd.pages.markdown import markdown
from faithkd.pages.runs.document import run_document
from faithkd.pages.runs.figures import intervals
from faithkd.runs import read_run
from tests.faithkd.made_up import made_up_run
from tests.faithkd.running import certificates, certify, run
from tests.faithkd.shown import Page, markdown_rows


def test_the_page_stands_alone_and_says_what_is_proved(finished):
    page = Page(finished / "report.html")
    assert page.addresses and all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"<script|@import|url\((?!#)", (finished / "report.html").read_text())
    assert "pixel" in page.text and "crown" in page.text and "Proved" in page.text and "searched" in page.text
    for eps in (0.02, 8 / 255):
        lines = [line for line in certificates(finished) if line["eps"] == eps]
        for name in ("emplb", "faithub"):
            values = np.array([line[name] for line in lines])
            assert f"{values.mean():.3f} ± {values.std():.3f}" in page.cells
        for measure in (lambda line: line["faithub"] - line["emplb"], lambda line: line["emplb"]):
            assert f"image {max(lines, key=measure)['index']}" in page.text
    summary = json.loads((finished / "summary.json").read_text())
    assert all(checksum in page.text for checksum in summary["checksums"].values())
    assert summary["environment"]["versions"]["torch"] in page.text


def test_a_run_as_markdown_says_what_its_page_says(finished):
    page, text = Page(finished / "report.html"), markdown(run_document(read_run(finished)))
    tables = [row for row in markdown_rows(text) if len(row) > 2]
    assert len(tables) == 3 and tables == page.rows
    for words in re.findall(r"^#+ (.*)", text, re.MULTILINE) + re.findall(r"image \d+", text):
        assert words in page.text


def test_figures_are_pictures(finished):
    for name in ("histograms", "intervals", "examples"):
        with Image.open(finished / "figures" / f"{name}.png") as picture:
            assert picture.width >= 1200 and len(np.unique(np.asarray(picture.convert("L")))) > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("emplb", "faithub", "shape", "classes"),
    [
        ([0.2], [0.2], (1, 6, 6), 4),
        ([0.0, 0.0], [0.0, 0.0], (1, 6, 6), 2),
        ([0.0, 0.5, 1.0], [1.0, 1.0, 1.0], (3, 5, 7), 4),
        (np.linspace(0, 0.4, 700), np.linspace(0.1, 0.9, 700), (1, 2, 2), 100),
        ([0.1, 0.3], [0.2, 0.8], (5,), 3),
    ],
    ids=["one image", "nothing differs", "colour", "many", "vectors"],
)  # fmt: skip
def test_odd_runs(tmp_path, emplb, faithub, shape, classes):
    page = Page(write_report(made_up_run(tmp_path / "run", emplb, faithub, shape, classes)))
    assert "&lt;student&gt;" in (tmp_path / "run" / "report.html").read_text()
    assert "solver's tolerance" in page.text
    assert (tmp_path / "run" / "report.html").stat().st_size < 1_500_000


@pytest.mark.slow
def test_what_branching_gained_is_shown_where_it_is_known(tmp_path):
    emplb, faithub, root = [0.1, 0.2, 0.3], [0.1, 0.4, 0.35], [0.5, 0.6, 0.7]
    old = Page(write_report(made_up_run(tmp_path / "old", emplb, faithub)))
    new = Page(write_report(made_up_run(tmp_path / "new", emplb, faithub, root=root)))
    assert "before branching" in new.text and "before branching" not in old.text
    (radius,) = read_run(tmp_path / "new").summary.radii
    assert radius.root.mean == pytest.approx(0.6) and radius.root.max == 0.7
    (draw,) = intervals(read_run(tmp_path / "new").certificates).panels
    axes = Figure().subplots()
    draw(axes)
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    # By gap: the closed image, that of .05, that of .2.
    assert drawn["before branching"] == [0.5, 0.7, 0.6] and drawn["FAITHUB"] == [0.1, 0.35, 0.4]


def test_an_unfinished_run_says_so(tmp_path):
    assert "interrupted" in Page(write_report(made_up_run(tmp_path / "run", [0.1], [0.2], state="interrupted"))).text


def test_an_empty_run_is_refused(tmp_path):
    folder = made_up_run(tmp_path / "run", [0.1], [0.2], state="running")
    (folder / "certificates.jsonl").unlink()
    with pytest.raises(UserError, match="no certificate"):
        write_report(folder)


@pytest.mark.slow
def test_runs_side_by_side(finished, pair, tmp_path):
    assert (
        certify(*pair, "--eps", 0.02, "--images", 60, "--method", "interval", "--out", tmp_path / "wide").exit_code == 0
    )
    result = run("report", finished, tmp_path / "wide", "--out", tmp_path / "both.html")
    assert result.exit_code == 0, result.output
    page = Page(tmp_path / "both.html")
    for folder in (finished, tmp_path / "wide"):
        values = np.array([line["faithub"] for line in certificates(folder) if line["eps"] == 0.02])
        assert f"{values.mean():.3f} ± {values.std():.3f}" in page.cells
    assert {"finished", "wide", "crown", "interval"} <= set(page.cells)
    other = made_up_run(tmp_path / "other", [0.1], [0.2], unit="normalised")
    assert run("report", finished, other).exit_code == 1
