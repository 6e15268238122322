"""Control characters are shown, and values are written one way."""

from pathlib import Path

import pytest

from faithkd import UserError
from faithkd.text import duration, folder_names, percent, plain, printable, short, spread


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


def test_values_are_written_one_way():
    assert percent(0.98765) == "98.8" and percent(0.98765, 2) == "98.77" and percent(1, 0) == "100"
    assert spread(0.25, 0.5) == "0.250 ± 0.500" and spread(0.25, None) == "0.250"
    assert (
        plain({"a": [1, 2.5], "b": True}) == "a 1, 2.5, b True"
        and plain([0.123456, [2]], " ", "{:.2g}".format) == "0.12 2"
    )
    assert plain(None) == "None" and plain("x") == "x" and plain([]) == ""
    assert [duration(seconds) for seconds in (9.6, 600, 9000)] == ["10 s", "10 min", "2.5 h"]
    assert short("a/b/c.npz") == "c.npz"
    assert folder_names([Path("/a/x"), Path("/b/y")]) == ["x", "y"]
    assert folder_names([Path("/a/x"), Path("/b/x")]) == ["/a/x", "/b/x"]
