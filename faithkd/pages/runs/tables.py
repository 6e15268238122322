"""The table of a run or of several, as cells, and the lines that stand with it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, structs

from faithkd.pages.content import Table
from faithkd.runs.records import Radius, Summary
from faithkd.runs.request import radius_label
from faithkd.text import percent, short, spread


def run_table(summaries: Sequence[Summary], names: Sequence[str] = ("",)) -> Table:
    """A row for each radius; with several runs, the rows of one radius stand together and name their run. Its note says what is proved."""
    unit = summaries[0].request.unit
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
    if any(radius.imitation is not UNSET for summary in summaries for radius in summary.radii):
        columns.insert(5, ("imitation", "images proved / undecided / refuted for the asked delta"))
    if len(summaries) > 1:
        columns.insert(1, ("run", ""))
    radii = sorted({radius.eps for summary in summaries for radius in summary.radii})
    rows = [
        _row(radius, [column for column, _ in columns], name)
        for eps in radii
        for summary, name in zip(summaries, names, strict=True)
        for radius in summary.radii
        if radius.eps == eps
    ]
    return Table.of(columns, rows, note=_proof_line(summaries))


def title_line(summary: Summary) -> str:
    """What the table is about."""
    request, images = summary.request, max(radius.images for radius in summary.radii)
    pair = f"{short(request.student)} against {short(request.teacher)}"
    return f"{pair} on {images} images of {short(str(request.data))} by {request.method} (mean ± std)"


def _proof_line(summaries: Sequence[Summary]) -> str:
    """What is proved and what is only searched, in one line."""
    kinds = {kind for summary in summaries for radius in summary.radii for kind in radius.proof}
    strength = "holds for every input of the region, rounding included"
    if "solver" in kinds:
        strength = "holds for every input of the region, where its proof is marked solver within the solver's tolerance"
    return (
        f"Proved: FAITHUB {strength}, and each EMPLB is attained by a stored input. Only searched: that nothing larger than EMPLB "
        'exists, and the empirical agreement in the column "searched".'
    )


def _row(radius: Radius, columns: list[str], name: str) -> tuple[str, ...]:
    agreement, images = radius.agreement, radius.images
    imitation = () if radius.imitation is UNSET else structs.astuple(radius.imitation)
    cells = {
        "run": name,
        "images": str(images),
        "EMPLB": spread(radius.emplb.mean, radius.emplb.std),
        "FAITHUB": spread(radius.faithub.mean, radius.faithub.std),
        "gap": f"{radius.gap.mean:.4f}",
        "imitation": " / ".join(map(str, imitation)),
        "agreement": f"{percent(agreement.certified / images)} to {percent(1 - agreement.refuted / images)} %",
        "searched": f"{percent(radius.empirical_agreement)} %",
        "time": f"{radius.seconds:.1f} s",
    }
    return tuple(cells.get(column, radius_label(radius.eps)) for column in columns)
