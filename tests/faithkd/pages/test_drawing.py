"""Figures are the project's own: no backend, settings file or style of the caller's changes them or is changed by them."""

import os
import shutil
import subprocess
import sys

import matplotlib
import pytest

from faithkd.pages import write_report
from tests.faithkd.running import environment, run_process

HOSTILE = """backend: webagg
text.usetex: True
image.origin: lower
savefig.format: pdf
savefig.bbox: tight
figure.dpi: 17
figure.constrained_layout.use: False
axes.facecolor: black
font.size: 30
svg.fonttype: path
path.simplify: False
nonsense: 3
"""


def drawn(folder):
    """The bytes of everything that a report draws."""
    files = [folder / "report.html", *sorted((folder / "figures").iterdir())]
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def expected(finished):
    write_report(finished)
    return drawn(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"MPLBACKEND": "module://a_notebook.that_is_elsewhere"},
        {"MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/proc/nowhere"},
        {"MPLBACKEND": "pdf", "MATPLOTLIBRC": "hostile"},
    ],
    ids=["notebook", "no-folder", "settings-file"],
)
def test_the_environment_changes_no_figure(finished, expected, tmp_path, settings):
    folder = shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "hostile").write_text(HOSTILE)
    done = run_process("report", folder, env={**environment(), **settings}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert drawn(folder) == expected


@pytest.mark.slow
def test_a_style_in_use_changes_no_figure_and_stays(finished, expected, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    with matplotlib.rc_context({"image.origin": "lower", "font.size": 31.0, "lines.linewidth": 9.0, "savefig.dpi": 11}):
        before = dict(matplotlib.rcParams)
        write_report(folder)
        assert dict(matplotlib.rcParams) == before
    assert drawn(folder) == expected


@pytest.mark.parametrize(("named", "kept"), [("svg", "svg"), ("module://nowhere.to_be_found", None)])
def test_the_callers_backend_stays_the_callers(named, kept):
    code = (
        "import os; from faithkd.pages.drawing import styled\n"
        "with styled(): pass\n"
        "import matplotlib; print(os.environ['MPLBACKEND'], matplotlib.rcParams._get('backend'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment(), "MPLBACKEND": named}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    variable, backend = done.stdout.split()
    assert variable == named and (kept is None or backend == kept)


@pytest.mark.slow
def test_a_settings_file_that_stops_matplotlib_is_one_sentence(finished, tmp_path):
    (tmp_path / "broken").write_bytes(b"\xff\xfe")
    folder = shutil.copytree(finished, tmp_path / "run")
    done = run_process("report", folder, env={**os.environ, **environment(), "MATPLOTLIBRC": str(tmp_path / "broken")})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "matplotlib, which draws the figures" in done.stderr
