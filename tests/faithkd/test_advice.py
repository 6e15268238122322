"""A sentence that names an option is said by commands that have it."""

import ast
import re
from pathlib import Path

import click
import pytest

from faithkd.cli.main import COMMANDS, main
from tests.faithkd.running import ROOT

NETWORKS = ("certify", "evaluate", "info")
IMAGES = (*NETWORKS, "train", "distill")
SAID_BY = {
    # Which commands a module's sentences can come from. One that calls a function after it has made sure that this function is content
    # (`read_own_card` before `load`, say) does not count.
    "card": NETWORKS,
    "checkpoint.foreign": NETWORKS,
    "checkpoint.several": NETWORKS,
    "data.npz": IMAGES,
    "data.download": ("certify", "evaluate", "train", "distill", "benchmark"),
    "imports": (*IMAGES, "benchmark"),
    "models.registry": NETWORKS,
    "distillation.registry": ("train", "distill"),
    "recipes.reading": ("distill",),
    "training.loop": ("distill",),
    "evaluation.setting": ("evaluate",),
    "runs.request": ("certify",),
    "certification.job": ("certify",),
    "certification.engines": ("certify",),
    "certification.engines.ray": ("certify",),
    "processes": ("certify", "benchmark"),
    "study.networks": ("benchmark",),
    "study.plan": ("benchmark",),
    "study.running": ("benchmark",),
    "study.folder": ("benchmark",),
    "runs.folder": ("certify",),
    "runs.parts": ("certify",),
    "pages.runs.writing": ("certify",),
    "pages.studies.writing": ("benchmark",),
    "certification.checking": ("certify",),
    "runs.lock": ("certify", "benchmark"),
    "runs.merging": ("report",),
    "runs.reading": ("certify", "report"),
    "runs.writing": ("certify",),
    "study.certified": ("benchmark", "report"),
}
OF_OTHER_PROGRAMS = {
    "recipes.reading": {"--list"},
    **{key: {"--resume"} for key in ("runs.merging", "runs.reading", "study.certified")},
}
"""Options in commands that a sentence writes out."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "faithkd").with_suffix("").parts).removesuffix(".__init__")


def options_in(path: Path) -> set[str]:
    """The options that the strings of a module name, but for its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                item for item in body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
            ]
    words = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {option for text in words for option in re.findall(r"--[a-z][a-z-]+", text)}


def options_of(command: str) -> set[str]:
    context = click.Context(main)
    found = main.get_command(context, command)
    return {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--debug"
    }


NAMING = {
    module_of(path): options_in(path)
    for path in sorted((ROOT / "faithkd").rglob("*.py"))
    if path.parent.name != "cli" and options_in(path)
}


@pytest.mark.parametrize("module", NAMING)
def test_a_module_names_options_of_the_commands_that_can_say_it(module):
    assert module in SAID_BY, f"say in SAID_BY which commands the sentences of {module} can come from"
    for command in SAID_BY[module]:
        lacking = NAMING[module] - options_of(command) - OF_OTHER_PROGRAMS.get(module, set())
        assert not lacking, f"{command} can say {lacking}, which it does not have"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_options_of_its_own(command):
    path = ROOT / "faithkd" / "cli" / f"{command}.py"
    own = {option for name in (command, "train", "distill") for option in options_of(name)}
    assert options_in(path) <= own | options_of(command) | {"--help"}


def test_what_can_be_said_of_anything_names_no_option_but_debug():
    assert options_in(ROOT / "faithkd" / "cli" / "main.py") == {"--debug", "--help"}
