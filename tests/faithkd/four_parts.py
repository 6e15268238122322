"""The run that the tests of run folders begin with, and folders of the format before."""

from pathlib import Path

from faithkd.certification import Job
from tests.faithkd.running import ROOT, certify

OLD = ROOT / "tests" / "reference" / "format-1"
ASKED = ("--no-search", "--eps", 0.01, "--eps", 0.02, "--images", 27, "--method", "crown")
"""Two radii of two parts each."""


def interrupted_run(pair, folder: Path, monkeypatch, after: int) -> Path:
    """A run that ended by Ctrl-C after so many parts."""
    prove, begun = Job.prove, []

    def some(job, part, progress=None):
        begun.append(part)
        if len(begun) > after:
            raise KeyboardInterrupt
        return prove(job, part, progress)

    monkeypatch.setattr(Job, "prove", some)
    assert certify(*pair, *ASKED, "--out", folder).exit_code == 130
    monkeypatch.undo()
    return folder
