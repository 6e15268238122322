"""What the report of a study says, section by section: the page and its Markdown twin are both made from this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faithkd.study.paper import TITLES
from faithkd.study.plan import REGIONS, STEPS
from faithkd.study.results import ratios, undecided

Found = dict[str, Any]
REGION_TITLES = {"cut": "regions cut with the pixel range", "whole": "regions not cut"}
REGION_WORDS = {"cut": "cut", "whole": "not cut"}


@dataclass(frozen=True)
class Cell:
    """What was measured; what the paper prints for it; the interval that is proved. Empty where there is none."""

    value: str
    paper: str = ""
    proved: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table; the first columns name a row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, paragraphs, tables, and the names of figures."""

    anchor: str
    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """One of the numbers that stand at the top."""

    question: str
    value: str
    note: str


def title(found: Found) -> str:
    """Of the page."""
    return f"Faithful distillation on {TITLES[found['dataset']]}, beside the paper"


def lead(found: Found) -> str:
    """What the study is, in two sentences."""
    plan = found["plan"]
    radii = ", ".join(radius["label"] for radius in found["radii"])
    return (
        f"The study of Lamb et al. (2023), Faithful Knowledge Distillation, repeated with {len(plan['students'])} students on "
        f"{plan['images']:,} test images of {TITLES[found['dataset']]} at the radii {radii} (normalised units: pixels / "
        f"{_std(found):g}), on regions cut with the pixel range and on whole ones, which the paper does not tell apart. "
        "Every number stands beside the paper's."
    )


def answers(found: Found) -> list[Answer]:
    """The numbers at the top; only those that the study has."""
    given = []
    compared = ratios(found)
    if compared:
        below = sum(here < paper for _, here, paper in compared)
        given.append(
            Answer(
                "FAITHUB / EMPLB below the paper's",
                f"{below} of {len(compared)} cells",
                f"from {min(here for _, here, _ in compared):.2f} to {max(here for _, here, _ in compared):.2f}; the paper's from "
                f"{min(paper for _, _, paper in compared):.2f} to {max(paper for _, _, paper in compared):.2f}",
            )
        )
    if found["bounds"]:
        closed = {region: [row["closed"] for row in found["bounds"] if row["region"] == region] for region in REGIONS}
        shares = {region: sum(values) / len(values) for region, values in closed.items() if values}
        given.append(
            Answer(
                f"intervals closed to {found['plan']['gap']:g}",
                " and ".join(f"{100 * share:.0f} %" for share in shares.values()),
                "of all images and radii, " + " and ".join(REGION_TITLES[region] for region in shares),
            )
        )
    certified = [row for row in found["agreement"] if row["certified"] is not None and row["eps"] != "0"]
    if certified:
        most = max(certified, key=undecided)
        given.append(
            Answer(
                "agreement left undecided",
                f"{100 * sum(map(undecided, certified)) / len(certified):.1f} %",
                "of the images and radii"
                if undecided(most) == 0
                else f"on average; most for {most['network']} at {most['eps']}, {REGION_TITLES[most['region']]}: "
                f"{100 * undecided(most):.1f} %",
            )
        )
    return given


def sections(found: Found) -> list[Section]:
    """Everything below the top."""
    made = [
        _promise(found), _accuracy(found), _agreement(found), _bounds(found), _histograms(found), _steps(found), _plane(found),
        _run(found),
    ]  # fmt: skip
    return [section for section in made if section.tables or section.figures or section.anchor in ("proof", "run")]


def facts(found: Found) -> list[tuple[str, str]]:
    """Units, seeds, versions, hardware, time."""
    plan, environment = found["plan"], found["environment"]
    sessions = found["sessions"]
    workers = sorted({session["workers"] for session in sessions})
    pairs = [
        ("state", found["state"]),
        ("images", f"{plan['images']:,}, drawn with seed {plan['seed']} from the test set; the same seed for every search"),
        ("radii", "; ".join(f"{r['label']} = {r['eps_pixel']:.5f} in pixels" for r in found["radii"])),
        ("limit", "; ".join(f"{limit:g} s at {r['label']}" for limit, r in zip(plan["timeout"], found["radii"], strict=True))
         + ", an image, of branch and bound"),
        ("method", f"complete, to a gap of {plan['gap']:g}"),
        ("proofs", ", ".join(f"{count:,} {kind}" for kind, count in found["proof"].items()) or "none yet"),
        ("hardware", f"{environment['hardware']}, {environment['cores']} cores, {environment['system']}"),
        ("device", f"{environment['device']}, {' and '.join(map(str, workers)) or 'no'} worker processes of one thread"),
        ("versions", ", ".join(f"{name} {version}" for name, version in environment["versions"].items())),
        ("time", f"{duration(found['seconds'])} in {len(sessions)} session{'s' * (len(sessions) != 1)}"
         + (f", {sessions[0]['date']}" if sessions else "")),
    ]  # fmt: skip
    for name, network in found["networks"].items():
        size = "-".join(map(str, network["hidden"]))
        pairs.append(
            (
                name,
                f"{network['method']}, {size}, {network['parameters']:,} parameters, seed {network['seed']}, recipe "
                f"{network['recipe']}, SHA-256 {network['sha256'][:16]}",
            )
        )
    return pairs


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def interval(bounds: list[float]) -> str:
    """An interval of shares, in percent."""
    return f"[{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def _promise(found: Found) -> Section:
    solver = "; bounds marked solver hold within the solver's tolerance" if "solver" in found["proof"] else ""
    return Section(
        "proof",
        "What is proved, and what is searched",
        (
            "Proved: FAITHUB and both ends of every interval in square brackets. They hold for every input of the region in real "
            f"arithmetic, for the stored weights and images, the rounding error of each bound included{solver}. An EMPLB is attained by "
            "an input, and a refuted decision by one that refutes it.",
            "Only searched: that nothing larger than EMPLB exists, robust accuracy, and empirical agreement: another search may find "
            "more. What float32 inference does to a deployed network is not covered. The paper's numbers are as printed.",
        ),
    )


def _accuracy(found: Found) -> Section:
    return Section(
        "accuracy",
        "Table 1: robust accuracy",
        (
            "Share of the images, in percent, that are right and stay right at every iterate of 50 steps of the attack from one "
            "uniform start. Beside it what the paper prints; in square brackets the accuracy that is proved, from the certified share to "
            "what no input refutes.",
        ),
        _shares(found, "accuracy"),
    )


def _agreement(found: Found) -> Section:
    return Section(
        "agreement",
        "Table 1: agreement with the teacher",
        (
            "Share of the images, in percent, on which student and teacher decide alike, at the image and at every iterate of the "
            "attack on the student (empirical agreement). Beside it what the paper prints; in square brackets the proved interval from "
            "the certified share, on whose regions no input divides them, to one less the refuted share.",
        ),
        _shares(found, "agreement"),
    )


def _shares(found: Found, kind: str) -> tuple[Table, ...]:
    """A table for each kind of region, networks down, radii across."""
    labels = ["0", *(radius["label"] for radius in found["radii"])]
    tables = []
    for region in REGIONS:
        rows = [row for row in found[kind] if row["region"] == region]
        by_network: dict[str, dict[str, Found]] = {}
        for row in rows:
            by_network.setdefault(row["network"], {})[row["eps"]] = row
        if by_network:
            tables.append(
                Table(
                    _capital(REGION_TITLES[region]) + ", %",
                    ("network", *(f"{label}" for label in labels)),
                    tuple(
                        (Cell(name), *(_share(cells[label]) for label in labels)) for name, cells in by_network.items()
                    ),
                )
            )
    return tuple(tables)


def _share(row: Found) -> Cell:
    return Cell(
        f"{100 * row['every']:.1f}",
        "" if row["paper"] is None else f"{100 * row['paper']:.1f}",
        "" if row["certified"] is None or row["eps"] == "0" else interval(row["certified"]),
    )


def _bounds(found: Found) -> Section:
    branched = any(row["root"] for row in found["bounds"])
    columns = ["student", "radius", "EMPLB", "FAITHUB", "FAITHUB / EMPLB", "best EMPLB"]
    columns += ["before branching"] if branched else []
    columns += ["closed", "s an image"]
    tables = [
        Table(
            _capital(REGION_TITLES[region]),
            tuple(columns),
            tuple(_bounds_row(row, branched) for row in found["bounds"] if row["region"] == region),
        )
        for region in REGIONS
        if any(row["region"] == region for row in found["bounds"])
    ]
    return Section(
        "bounds",
        "Table 2: how far the confidences can differ",
        (
            "The largest difference of the two networks' confidences on the region, mean ± standard deviation over the images: EMPLB "
            "as the paper's search finds it (5 starts of 50 steps), FAITHUB as it is proved. Their ratio says how much the proof leaves "
            "open. Beside them what the paper prints. Best EMPLB: the largest found by any search, which the intervals of certify start "
            f"from. Closed: images whose interval is at most {found['plan']['gap']:g} wide.",
        ),
        tuple(tables),
        ("intervals",),
    )


def _bounds_row(row: Found, branched: bool) -> tuple[Cell, ...]:
    paper = row["paper"]
    cells = [
        Cell(row["network"]),
        Cell(row["eps"]),
        *(Cell(_spread(row[name]), _spread(paper[name]) if paper else "") for name in ("emplb", "faithub")),
        Cell("-" if row["ratio"] is None else f"{row['ratio']:.2f}", f"{paper['ratio']:.2f}" if paper else ""),
        Cell(f"{row['emplb_best']['mean']:.3f}"),
    ]
    if branched:
        cells.append(Cell(f"{row['root']['mean']:.3f}" if row["root"] else "-"))
    return (*cells, Cell(f"{100 * row['closed']:.0f} %"), Cell(f"{row['seconds'] / row['images']:.2f}"))


def _histograms(found: Found) -> Section:
    regions = [region for region in REGIONS if any(row["region"] == region for row in found["bounds"])]
    return Section(
        "histograms",
        "Figures 2 and 3: how the images are spread",
        (
            "Histograms over the images of the largest difference of confidences, student by student: EMPLB, as found, and FAITHUB, as "
            "proved. Images are counted on a logarithmic scale, since most lie near 0.",
        ),
        figures=tuple(f"{bound}-{region}" for region in regions for bound in ("emplb", "faithub")),
    )


def _steps(found: Found) -> Section:
    steps = found["steps"]
    columns = tuple(str(number) for number in STEPS)
    tables = []
    if steps["means"]:
        tables.append(
            Table(
                f"Mean EMPLB over the images, radius {steps['eps']}, by steps of the search",
                ("student", "regions", *columns),
                _by_steps(
                    [{**row, "region": REGION_WORDS[row["region"]]} for row in steps["means"]], ("network", "region")
                ),
            )
        )
    if steps["examples"]:
        tables.append(
            Table(
                f"Three images, radius {steps['eps']}, cut regions",
                ("student", "image", *columns),
                _by_steps(steps["examples"], ("network", "image")),
            )
        )
    if tables and steps["paper"]:
        paper = [
            {**row, "network": row["student"], "image": row["example"], "emplb": row["value"]} for row in steps["paper"]
        ]
        tables.append(
            Table(
                f"The paper: three images that it does not identify, radius {paper[0]['eps']}",
                ("student", "image", *columns),
                _by_steps(paper, ("network", "image")),
            )
        )
    note = (
        " The paper's second column is headed 5 steps; its text says 10."
        if steps["paper"]
        else " The paper has no such table for MNIST."
    )
    return Section(
        "steps",
        "Table 3: how EMPLB depends on the number of steps",
        (
            "EMPLB by the paper's search of so many steps, each of 2.5 times the radius over their number, 5 starts. The images are "
            "those at three quantiles of the students' mean EMPLB." + note,
        ),
        tuple(tables),
        ("steps",) if steps["means"] else (),
    )


def _by_steps(rows: list[Found], names: tuple[str, str]) -> tuple[tuple[Cell, ...], ...]:
    groups: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        groups.setdefault((row[names[0]], row[names[1]]), {})[row["steps"]] = row["emplb"]
    return tuple(
        (Cell(one), Cell(other), *(Cell(f"{values[n]:.4f}" if n in values else "-") for n in STEPS))
        for (one, other), values in groups.items()
    )


def _plane(found: Found) -> Section:
    return Section(
        "plane",
        "Figure 1: the difference of confidences on a plane",
        (
            "The largest difference of confidences over the classes on the plane through a test image, its witness (the input that attains "
            "EMPLB) and a second corner, the input that the search finds for the same class with the opposite sign. Each student has its "
            "own witness and corner; the students share one colour scale. The line is where the plane leaves the region.",
        ),
        figures=("plane-cut", "plane-whole") if found["plane"] else (),
    )


def _run(found: Found) -> Section:
    return Section("run", "The run")


def _spread(values: Found) -> str:
    return f"{values['mean']:.3f}" + ("" if values["std"] is None else f" ± {values['std']:.3f}")


def _std(found: Found) -> float:
    radius = found["radii"][0]
    return float(round(radius["eps_pixel"] / radius["eps"], 6))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
