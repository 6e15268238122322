"""Tables on a terminal of any width, and names that cannot command it."""

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from faithkd.cli.options import console
from faithkd.pages.content import Table
from faithkd.pages.runs.tables import run_table
from faithkd.pages.terminal import terminal_table
from faithkd.runs import read_run
from tests.faithkd.running import run


@pytest.mark.slow
def test_the_table_on_the_terminal_names_the_unit(finished):
    result = run("certify", "--resume", "--out", finished)
    assert result.exit_code == 0
    assert "(pixel)" in result.stdout and "8/255" in result.stdout and "±" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 110


def printed(table: Table, width: int) -> str:
    """What a terminal of that width shows."""
    console = Console(width=width, file=io.StringIO())
    console.print(terminal_table(table, width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 81, 110, 200])
@pytest.mark.parametrize("name", ["radius (normalised)", "network"])
def test_a_terminal_of_any_width_shows_every_figure(width, name):
    columns = (name, "EMPLB", "FAITHUB", "gap", "imitation", "agreement", "searched", "time")
    first = "0.05" if name != "network" else "a-network-with-a-long-name" * 3
    cells = (
        first,
        "0.099 ± 0.183",
        "0.120 ± 0.212",
        "0.0217",
        "1000 / 2000 / 3000",
        "91.0 to 92.5 %",
        "93.5 %",
        "12345.6 s",
    )
    text = printed(Table.of(columns, [cells]), width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    # Folded cells stand in one column: read down, every letter of every cell is there.
    shown, wanted = Counter("".join(text.split())), Counter("".join("".join(cells).split()))
    assert wanted <= shown
    if width >= 40:
        for figure in ("0.099", "0.183", "0.120", "0.212", "0.0217", "91.0", "92.5", "93.5", "12345.6"):
            assert figure in text


def test_the_usual_table_is_one_row_a_radius_on_eighty_columns(finished):
    table = run_table([read_run(finished).summary])
    text = printed(table, 80)
    head = next(line for line in text.splitlines() if "EMPLB" in line)
    assert all(name in head for name, _ in table.columns if "radius" not in name and name != "images")


def test_brackets_in_a_table_are_shown_not_obeyed(monkeypatch):
    table = Table.of(("name [bold]", "value (unit)"), [("[red]x[/red] :smile: [link=http://x]y[/link]\x1b[31m", "[/]")])
    shown = console()
    shown.file = io.StringIO()
    shown.print(terminal_table(table, shown.width))
    text = shown.file.getvalue()
    assert "[red]x[/red] :smile: [link=http://x]y[/link]\\x1b[31m" in text and "[/]" in text and "name [bold]" in text


def test_the_width_of_a_table_does_not_depend_on_a_terminal():
    assert isinstance(console(), Console) and console().width == 110 and console(200).width == 200


@pytest.mark.slow
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
