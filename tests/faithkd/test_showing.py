"""Names and labels that come from elsewhere are shown, not obeyed: by pages, by Markdown, by the terminal."""

import ast
import io
import json
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup
from rich.console import Console

from faithkd import UserError
from faithkd.cli.options import console
from faithkd.pages import compare, write_evaluation, write_report
from faithkd.pages.content import Cell, Document, Section, Table
from faithkd.pages.html import environment, html
from faithkd.pages.markdown import markdown, neutral
from faithkd.pages.studies.document import study_document
from faithkd.pages.studies.figures import figure
from faithkd.pages.terminal import terminal_table
from faithkd.text import printable
from tests.faithkd import mutations_runs as damage
from tests.faithkd.made_up import made_up_run
from tests.faithkd.pages import Page
from tests.faithkd.running import ROOT, run
from tests.faithkd.test_evaluate import SAMPLE

EVIL = (
    "<script>alert(1)</script><img src=x onerror='alert(1)'>\"'&amp;{{ 7 * 7 }}{% raw %}\x1b[31m\x07\u202e[red]x[/red]"
)
OLD = ROOT / "tests" / "reference" / "format-1"


def is_harmless(path: Path) -> str:
    """A page in which EVIL stands as text and nowhere as anything else; returns its text."""
    content, page = path.read_text(), Page(path)
    assert (
        not re.search(r"<script|<img src=x|javascript:", content) and "\x1b" not in content and "\u202e" not in content
    )
    assert "49" not in page.text.split("alert(1)")[1][:40]
    assert "<script>alert(1)</script>" in page.text
    return page.text


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


@pytest.fixture
def evil_study() -> dict:
    """What a study found, with names that a folder could hold."""
    found = json.loads((ROOT / "docs" / "studies" / "mnist" / "report.json").read_text())
    found["environment"] |= {"hardware": EVIL, "system": EVIL, "versions": {EVIL: EVIL}}
    for network in found["networks"].values():
        network |= {"method": EVIL, "recipe": EVIL}
    found["missing"] = [EVIL]
    found["state"] = EVIL
    return found


def test_the_page_of_a_study_shows_names_as_they_are(evil_study, tmp_path):
    drawn = (
        "intervals",
        "steps",
        *(f"{what}-{region}" for region in ("cut", "whole") for what in ("emplb", "faithub", "plane")),
    )
    figures = [figure(name, [lambda axes: None], EVIL) for name in drawn]
    (tmp_path / "page.html").write_bytes(html(study_document(evil_study, figures)))
    is_harmless(tmp_path / "page.html")


def test_the_markdown_of_a_study_keeps_its_tables(evil_study):
    """Every row has the columns of its head, whatever stands in it, and no HTML, code or link."""
    evil = "a|b\nc|d `code` <b>bold</b> [text](https://example.org) \\| \x1b[31m\r\u2028"
    for network in evil_study["networks"].values():
        network["recipe"] = evil
    text = markdown(study_document(evil_study | {"missing": [evil]}))
    assert not re.search(r"<[a-z/]|(?<!\\)`|\x1b|\r|\u2028|[^\\]\]\(http", text)
    rows = [line for line in text.split("\n") if line.startswith("|") and "example" in line]
    assert len(rows) == 5
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3, row
    table = Table.of(("a|b", "c"), [(Cell("1|2\n3", "4`5", "[0.1, 0.2](x)"), "6")])
    (heading, rule, line) = markdown(Document("x", sections=(Section("", blocks=(table,)),))).splitlines()[2:]
    assert heading == "| a\\|b | c |" and rule == "|---|---|"
    assert line == "| 1\\|2\\\\n3 (4\\`5) [0.1, 0.2]\\(x) | 6 |"
    assert neutral("99.2 (99.1) [98.8, 99.0] ± 0.1") == "99.2 (99.1) [98.8, 99.0] ± 0.1"
    assert str(Cell("0.1", "0.2", "[1, 2]")) == "0.1 (0.2) [1, 2]"


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


# The terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± 0.1, ärgerlich 日本 👍", "plain ± 0.1, ärgerlich 日本 👍"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eexe.txt\u2066", "\\u202eexe.txt\\u2066"),
        ("\ud800\udcff", "\\ud800\\udcff"),
        ("\u2028\x7f\x00", "\\u2028\\x7f\\x00"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert printable(text) == shown
    assert str(UserError(text)) == printable(text, lines=True)
    assert printable("a\nb\x1b", lines=True) == "a\nb\\x1b"


def test_brackets_in_a_table_are_shown_not_obeyed(monkeypatch):
    table = Table.of(("name [bold]", "value (unit)"), [("[red]x[/red] :smile: [link=http://x]y[/link]\x1b[31m", "[/]")])
    shown = console()
    shown.file = io.StringIO()
    shown.print(terminal_table(table, shown.width))
    text = shown.file.getvalue()
    assert "[red]x[/red] :smile: [link=http://x]y[/link]\\x1b[31m" in text and "[/]" in text and "name [bold]" in text


def test_a_terminal_is_not_commanded_by_what_it_is_told(pair, tmp_path):
    """Names of files, of data sets and of a card."""
    names = [tmp_path / f"{k}\x1b[31m[red]x.safetensors" for k in (1, 2)]
    for source, name in zip(pair, names, strict=True):
        name.write_bytes(Path(source).read_bytes())
    folder = tmp_path / "run\x1b[2J[bold]"
    asked = ("--eps", 0.01, "--images", 2, "--method", "interval")
    commands = [
        ("certify", *names, *asked, "--out", folder),
        ("certify", "--resume", "--out", folder),
        ("report", folder),
        ("report", folder, folder, "--out", tmp_path / "both\x1b.html"),
        ("info", names[0]),
        ("evaluate", *names, "--data", "mnist-sample", "--images", 5),
        ("certify", *names, *asked, "--out", folder),
        ("certify", tmp_path / "none\x1b[31m", names[1], *asked),
    ]
    for command in commands:
        result = run(*command)
        assert "\x1b" not in result.stdout, command
        # Errors of the command line itself are its own.
        if result.exit_code == 0 or "UserError" not in str(result.exception):
            assert "\x1b" not in result.stderr, command
    shown = run("certify", "--resume", "--out", folder).stdout
    assert "2\\x1b[31m[red]x.safetensors against 1\\x1b[31m[red]x.safetensors" in " ".join(shown.split())
    assert "[red]x.saf" in run("info", names[0]).stdout


def test_the_width_of_a_table_does_not_depend_on_a_terminal():
    assert isinstance(console(), Console) and console().width == 110 and console(200).width == 200
