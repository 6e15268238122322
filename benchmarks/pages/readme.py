"""Writes the tables of README.md and docs/results.md from the recorded results, and the page of the methods beside these.

What is written is all that stands between `<!-- NAME -->` and `<!-- end NAME -->`.

python benchmarks/pages/readme.py
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.measuring.record import RESULTS, ROOT
from benchmarks.pages import certifier, methods, paper, soundness, speed, study
from benchmarks.pages.tables import header, line

PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for page in PAGES:
        page.write_text(filled(page.read_text()))
    (RESULTS / "methods.md").write_text(methods.page())


def filled(text: str) -> str:
    """A page's text with every generated part replaced."""
    for name, content in parts().items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, content=content: f"{match[1]}{content}\n{match[2]}", text)
    return text


def parts() -> dict[str, str]:
    """Each generated part by name; parts of what is not recorded are left out."""
    generated = {"certify": certify_table()}
    for source in (certifier, study, paper, methods, soundness, speed):
        generated.update(source.parts())
    return generated


def certify_table() -> str:
    """What `make certify` found: the summary of its run folder, recorded."""
    summary = json.loads((RESULTS / "make-certify.json").read_text())
    columns = [
        "EMPLB",
        "FAITHUB",
        "images closed to 0.01",
        "same decision, proved",
        "undecided",
        "found by search",
        "nodes",
    ]
    lines = [header("radius (normalised)", columns)]
    for radius in summary["radii"]:
        n, agreement = radius["images"], radius["agreement"]
        cells = [f"{radius[bound]['mean']:.3f} ± {radius[bound]['std']:.3f}" for bound in ("emplb", "faithub")]
        cells += [f"{radius['status'].get('closed', 0)} of {n}"]
        cells += [f"{100 * share / n:.0f} %" for share in (agreement["certified"], agreement["undecided"])]
        lines.append(
            line(f"{radius['eps']:g}", [*cells, f"{100 * radius['empirical_agreement']:.0f} %", f"{radius['nodes']:,}"])
        )
    environment = summary["environment"]
    lines.append("")
    lines.append(
        f"{summary['wall_seconds']:.0f} s in all, two processes, {environment['cores']} CPU cores ({environment['hardware']}), "
        f"torch {environment['versions']['torch']}, {summary['date']}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
