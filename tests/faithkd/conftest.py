"""What the tests of the command line share."""

from pathlib import Path

import pytest

from faithkd import imports
from tests.faithkd.four_parts import ASKED
from tests.faithkd.running import certify, run, small_pair


@pytest.fixture(autouse=True)
def imports_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command has imported would be part of every later request of this process."""
    monkeypatch.setattr(imports, "_MODULES", dict(imports._MODULES))


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A small teacher and student on disk."""
    return small_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def finished(pair: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 60 images at two radii; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = run(
        "certify", *pair, "--eps", 0.02, "--eps", "8/255", "--images", 60, "--method", "crown", "--out", folder
    )
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def four_parts(pair: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four parts; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert certify(*pair, *ASKED, "--out", folder).exit_code == 0
    return folder
