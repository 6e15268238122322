"""JSON of others: read as Python reads it, or refused as a whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faithkd.strict_json import loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@given(VALUES)
def test_what_json_can_say_comes_back(value):
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", None),
        ("{", None),
        ("[1] 2", None),
        ('{"a": 1, "a": 1}', "'a' twice"),
        ('[{"b": {"c": 1, "d": 2, "c": 3}}]', "'c' twice"),
        ("NaN", "no number"),
        ('{"a": [-Infinity]}', "no number"),
        ("1e400", "beyond"),
        ("[-1e400]", "beyond"),
        ("[" * 100_000, "nested"),
        ('{"a":' * 100_000, "nested"),
        ("[" * 101 + "]" * 101, "nested"),
        ("9" * 10_000, None),
        (b"\xff\xfe\xfa", None),
    ],
)
def test_what_is_none_or_means_several_things_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        loads(text)


def test_what_is_nested_as_deep_as_may_be():
    assert loads("[" * 99 + "1" + "]" * 99)
