"""Names and labels that come from elsewhere are shown by pages, not obeyed."""

import ast
import json
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from faithkd.pages import compare, write_evaluation, write_report
from faithkd.pages.content import Document, Section, Table
from faithkd.pages.html import environment, html
from faithkd.pages.studies.document import study_document
from faithkd.pages.studies.figures import figure
from tests.faithkd import mutations_runs as damage
from tests.faithkd.made_up import made_up_run
from tests.faithkd.running import ROOT
from tests.faithkd.shown import EVIL, Page
from tests.faithkd.test_evaluate import SAMPLE


def is_harmless(path: Path) -> str:
    """A page in which EVIL stands as text and nowhere as anything else; returns its text."""
    content, page = path.read_text(), Page(path)
    assert (
        not re.search(r"<script|<img src=x|javascript:", content) and "\x1b" not in content and "\u202e" not in content
    )
    assert "49" not in page.text.split("alert(1)")[1][:40]
    assert "<script>alert(1)</script>" in page.text
    return page.text


@pytest.mark.slow
def test_the_page_of_a_run_shows_names_as_they_are(tmp_path):
    folder = made_up_run(tmp_path / "run", [0.1, 0.2], [0.3, 0.4], student=EVIL.replace("/", "|"))
    content = write_report(folder).read_text()
    assert "<script>" not in content and "\x1b" not in content
    assert "<script>alert(1)<|script>" in Page(folder / "report.html").text
    values = json.loads((folder / "summary.json").read_text())
    values["environment"] |= {"hardware": EVIL, "versions": {EVIL: EVIL}}
    values["request"]["teacher"] = EVIL
    (folder / "summary.json").write_text(json.dumps(values))
    damage.reseal(folder)
    is_harmless(write_report(folder))


def test_the_comparison_of_runs_shows_names_as_they_are(tmp_path):
    names = [EVIL.replace("/", "|")[:60], "other"]
    folders = [made_up_run(tmp_path / name, [0.1], [0.3], student=f"{EVIL} {name}") for name in names]
    compare(folders, tmp_path / "page.html")
    is_harmless(tmp_path / "page.html")


def test_the_page_of_an_evaluation_shows_names_as_they_are(pair, tmp_path, monkeypatch):
    from dataclasses import replace

    import faithkd
    from faithkd.evaluation import Setting, evaluate
    from faithkd.evaluation.records import Subject

    model = faithkd.load(pair[0]).requires_grad_(False)
    found = replace(evaluate(model, SAMPLE, Setting(("fgsm",), (0.05,))), warnings=(EVIL,))
    subject = Subject(EVIL, model.card, "0" * 64, found)
    environment = {"hardware": EVIL, "cores": 2, "system": EVIL, "versions": {EVIL: "1"}}
    is_harmless(
        write_evaluation(tmp_path, [subject], replace(SAMPLE, name=EVIL), Setting(("fgsm",), (0.05,)), environment)
    )


def test_the_page_of_a_study_shows_names_as_they_are(evil_study, tmp_path):
    drawn = (
        "intervals",
        "steps",
        *(f"{what}-{region}" for region in ("cut", "whole") for what in ("emplb", "faithub", "plane")),
    )
    figures = [figure(name, [lambda axes: None], EVIL) for name in drawn]
    (tmp_path / "page.html").write_bytes(html(study_document(evil_study, figures)))
    is_harmless(tmp_path / "page.html")


def test_a_template_that_names_what_it_is_not_given_is_an_error():
    with pytest.raises(UndefinedError):
        environment().get_template("document.html").render(title="x")


def test_a_template_escapes_all_but_markup():
    table = Table.of(("<s>", "&"), [("<b>", "\ud800\x00")], "<u>")
    content = html(Document(Markup("<i>x</i>"), sections=(Section("", blocks=(table,)),))).decode()
    assert "<i>x</i>" in content and "&lt;b&gt;" in content and "&lt;u&gt;" in content and "&lt;s&gt;" in content
    assert "\\ud800\\x00" in content


def test_no_page_is_put_together_from_strings():
    """HTML stands in templates; what is drawn is matplotlib's."""
    for path in sorted((ROOT / "faithkd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
                assert not re.search(r"</?[a-z]+[ >]", text), (path, node.lineno)
