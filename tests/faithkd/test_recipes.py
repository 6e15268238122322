"""Recipes in files: what is read is what stands there, and whatever else stands there is one sentence."""

import os
import time
from dataclasses import fields
from pathlib import Path

import pytest

from faithkd import UserError, recipes
from faithkd.recipes import InnerAttack, Recipe
from tests.faithkd.running import run

GOOD = """dataset = "mnist"
architecture = "mnist-student"
method = "sd"
epochs = 2
learning_rate = 0.1
weight_decay = 0
settings = { alpha = 0.5, temperature = 2 }

[adversary]
radius = 0.1
step = 0.02
steps = 3
"""


def put(folder: Path, content: str | bytes, name: str = "r.toml") -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def refused(path: Path | str) -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        recipes.load(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1500 and time.monotonic() - began < 10, message
    return message


def test_what_stands_there_is_read(tmp_path):
    recipe = recipes.load(put(tmp_path, GOOD))
    assert (recipe.epochs, recipe.weight_decay, recipe.settings["alpha"], recipe.adversary.steps) == (2, 0, 0.5, 3)
    assert recipes.load(put(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())) == recipe


def test_a_base_may_have_a_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, GOOD, "0.toml")
    for k in range(1, 10):
        put(tmp_path, f'base = "{k - 1}.toml"\nepochs = {k}', f"{k}.toml")
    assert recipes.load("9.toml").epochs == 9 and recipes.load("9.toml").adversary.steps == 3


def test_a_recipe_below_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, 'base = "r.toml"')
    assert "its own base" in refused("r.toml")
    put(tmp_path, 'base = "./b.toml"', "a.toml")
    put(tmp_path, f'base = "{tmp_path}/a.toml"', "b.toml")
    assert "its own base" in refused("a.toml") and "its own base" in refused("b.toml")
    put(tmp_path, 'base = "link.toml"', "c.toml")
    (tmp_path / "link.toml").symlink_to("c.toml")
    assert "its own base" in refused("c.toml") and "its own base" in refused("link.toml")
    for k in range(40):
        put(tmp_path, f'base = "{k + 1}.toml"', f"{k}.toml")
    assert "more than 10" in refused("0.toml")


TEXTS = {
    "brackets": "a = " + "[" * 16_000,
    "braces": "a = " + "{a = " * 3000,
    "dots": "a" + ".a" * 8000 + " = 1",
    "tables": "[a]\n" + "[[a.b]]\n" * 1800,
    "invalid UTF-8": b'dataset = "\xff\xfe"',
    "UTF-16": GOOD.encode("utf-16"),
    "zeros": bytes(1000),
    "nothing": "",
    "an integer of 5000 digits": GOOD + "\n[settings]\nalpha = " + "9" * 5000,
    "twice": GOOD + "\nepochs = 3",
    "a date": GOOD.replace("0.1\nweight", "1979-05-27\nweight"),
    "JSON": '{"dataset": "mnist"}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_are_no_recipe(tmp_path, name):
    assert "r.toml" in refused(put(tmp_path, TEXTS[name]))


def test_files_that_are_none(tmp_path):
    assert "at most" in refused(put(tmp_path, "# " + "x" * 2**14))
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "folder.toml").mkdir()
    for name in ("pipe", "zero", "folder", "none"):
        assert "neither a file nor a name" in refused(tmp_path / f"{name}.toml")
    assert "neither a file nor a name" in refused("a\0b") and "neither a file nor a name" in refused("x" * 5000)


WRONG = [
    "nan",
    "inf",
    "-inf",
    "-1",
    "1e400",
    "9" * 400,
    "true",
    '"word"',
    "[1, 2]",
    "[]",
    "{}",
    "{a = 1}",
    "[[[1]]]",
    "1979-05-27",
    "07:32:00",
    "[nan]",
    "1e18",
]
NUMBERS = [entry.name for entry in fields(Recipe) if str(entry.type) in ("int", "float")]
ATTACK_NUMBERS = [entry.name for entry in fields(InnerAttack) if str(entry.type) in ("int", "float")]


def set_to(name: str, value: str, table: str = "") -> str:
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{name} ")]
    if name == "adversary":
        return "\n".join([*lines[: lines.index("[adversary]")], f"{name} = {value}"])
    place = lines.index("[adversary]")
    lines.insert(place + (1 if table else 0), f"{name} = {value}")
    return "\n".join(lines)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_is_none(tmp_path, name, value):
    assert name in refused(put(tmp_path, set_to(name, value)))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", ATTACK_NUMBERS)
def test_a_number_of_the_adversary_that_is_none(tmp_path, name, value):
    assert name in refused(put(tmp_path, set_to(name, value, "adversary")))


@pytest.mark.parametrize(
    "name", [entry.name for entry in fields(Recipe) if entry.name not in NUMBERS and entry.name != "name"]
)
@pytest.mark.parametrize(
    "value", ["1", "nan", "[1.5]", "[[1]]", '["a", 1]', "1979-05-27", "{a = {b = {c = 1}}}", "9" * 400]
)
def test_a_word_or_a_table_that_is_none(tmp_path, name, value):
    if (name, value) not in (("settings", "{}"),):
        assert name in refused(put(tmp_path, set_to(name, value)))


@pytest.mark.parametrize("value", ["nan", "inf", "9" * 400, "{a = 1}", "[[1]]", "1979-05-27", "[inf]", "1e300"])
def test_settings_that_are_none(tmp_path, value):
    assert "settings" in refused(put(tmp_path, GOOD.replace("alpha = 0.5", f"alpha = {value}")))


@pytest.mark.parametrize(
    "key", ['"a.b"', '"adversary.radius"', '""', '"\\u0000"', '"\\u001b[31m"', "x" * 3000, "__class__"]
)
def test_keys_that_are_none(tmp_path, key):
    assert "unknown setting" in refused(put(tmp_path, f"{key} = 1\n" + GOOD))
    assert "unknown setting" in refused(put(tmp_path, GOOD + f"{key} = 1\n"))


@pytest.mark.parametrize(
    "base",
    [
        "3",
        "[]",
        "{}",
        "true",
        '""',
        '"nothing-of-the-kind"',
        '"."',
        '"/dev/zero"',
        '"a\\u0000b"',
        '"' + "x" * 3000 + '"',
    ],
)
def test_a_base_that_is_none(tmp_path, base):
    assert "base" in (message := refused(put(tmp_path, f"base = {base}"))) or "neither a file nor a name" in message


@pytest.mark.parametrize(
    "change",
    [
        "epochs=nan", "epochs=" + "9" * 5000, "learning_rate=inf", "settings.alpha=" + "[" * 9000, "settings.=1", "=1", "epochs", "a.b.c=1",
        "adversary=1", "adversary.radius=nan", "epochs=1\nseed=5", "settings.alpha={a=1}", "name=3", "\x1b[31m=1", "base=mnist-fd",
        "settings=1", "adversary.steps=0", "epochs=" + "1" * 20_000,
    ],
)  # fmt: skip
def test_changes_on_the_command_line_that_are_none(tmp_path, change):
    result = run(
        "train", put(tmp_path, GOOD), "--data", "mnist-sample", "--set", change, "--out", tmp_path / "a.safetensors"
    )
    assert result.exit_code == 1 and "unexpected" not in result.output and result.output.count("Error: ") == 1, (
        result.output
    )
    assert "\x1b" not in result.output and len(result.output) < 1000


def test_every_recipe_of_the_package_is_one():
    for name in recipes.names():
        recipe = recipes.load(name)
        assert Recipe.from_dict(recipe.to_dict()) == recipe
