"""The tables of a run, as cells, and as what a terminal or a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePath
from typing import Any

from faithkd.certification.request import radius_label

Summary = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Columns with their explanation, and rows of cells that are ready to be shown."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]


def run_table(summaries: Sequence[Summary]) -> Table:
    """A row for each radius; with several runs, the rows of one radius stand together and name their run."""
    unit = summaries[0]["request"]["unit"]
    columns: list[tuple[str, str]] = [
        (f"radius ({unit})", f"in {unit} units"),
        ("images", ""),
        ("EMPLB", "largest difference of confidences that was found: mean ± standard deviation over the images"),
        ("FAITHUB", "proved upper bound of that difference: mean ± standard deviation over the images"),
        ("gap", "mean of FAITHUB - EMPLB"),
        (
            "agreement",
            "share of images with the same decision on the whole region: from the proved share to what no witness refutes",
        ),
        ("searched", "empirical agreement: share of images without a differing decision met by the search"),
        ("time", "seconds of computing"),
    ]
    if any("imitation" in radius for summary in summaries for radius in summary["radii"]):
        columns.insert(5, ("imitation", "images proved / undecided / refuted for the asked delta"))
    if len(summaries) > 1:
        columns.insert(1, ("run", ""))
    radii = sorted({radius["eps"] for summary in summaries for radius in summary["radii"]})
    rows = [
        _row(radius, [name for name, _ in columns], summary)
        for eps in radii
        for summary in summaries
        for radius in summary["radii"]
        if radius["eps"] == eps
    ]
    return Table(tuple(columns), tuple(rows))


def html_table(table: Table) -> str:
    """The same for a page."""
    head = "".join(f'<th scope="col" title="{escape(note)}">{escape(name)}</th>' for name, note in table.columns)
    names = [escape(name, quote=True) for name, _ in table.columns]
    body = "".join(
        "<tr>"
        + "".join(f'<td data-name="{name}">{escape(cell)}</td>' for name, cell in zip(names, row, strict=True))
        + "</tr>"
        for row in table.rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def title_line(summary: Summary) -> str:
    """What the table is about."""
    request, images = summary["request"], max(radius["images"] for radius in summary["radii"])
    pair = f"{short(request['student'])} against {short(request['teacher'])}"
    return f"{pair} on {images} images of {short(request['data'])} by {request['method']} (mean ± std)"


def short(name: str) -> str:
    """A network's or data set's name, of a path only the end."""
    return PurePath(name).name


def proof_line(summary: Summary) -> str:
    """What is proved and what is only searched, in one line."""
    kinds = {kind for radius in summary["radii"] for kind in radius["proof"]}
    strength = "holds for every input of the region, rounding included"
    if "solver" in kinds:
        strength = "holds for every input of the region, where its proof is marked solver within the solver's tolerance"
    return (
        f"Proved: FAITHUB {strength}, and each EMPLB is attained by a stored input. Only searched: that nothing larger than EMPLB "
        'exists, and the empirical agreement in the column "searched".'
    )


def _row(radius: dict[str, Any], columns: list[str], summary: Summary) -> tuple[str, ...]:
    agreement, images = radius["agreement"], radius["images"]
    cells = {
        "run": summary.get("name", ""),
        "images": str(images),
        "EMPLB": _spread(radius["emplb"]),
        "FAITHUB": _spread(radius["faithub"]),
        "gap": f"{radius['gap']['mean']:.4f}",
        "imitation": " / ".join(str(count) for count in radius.get("imitation", {}).values()),
        "agreement": f"{_percent(agreement['certified'] / images)} to {_percent(1 - agreement['refuted'] / images)} %",
        "searched": f"{_percent(radius['empirical_agreement'])} %",
        "time": f"{radius['seconds']:.1f} s",
    }
    return tuple(cells.get(name, radius_label(radius["eps"])) for name in columns)


def _spread(values: dict[str, float]) -> str:
    return f"{values['mean']:.3f} ± {values['std']:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
