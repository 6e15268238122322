"""A study with names that a folder could hold."""

import json

import pytest

from tests.faithkd.running import ROOT
from tests.faithkd.shown import EVIL


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
