"""What the report of a study says: at the top what was asked and found, then section by section, and how it was made."""

from __future__ import annotations

from collections.abc import Iterable

from faithkd.pages.content import Answer, Answers, Document, Facts, Figure, Notice, Section
from faithkd.pages.studies.figures import figure
from faithkd.pages.studies.sections import sections
from faithkd.pages.studies.tables import REGION_TITLES
from faithkd.runs.environment import machine
from faithkd.study.paper import TITLES
from faithkd.study.plan import REGIONS
from faithkd.study.results import Row, ratios, undecided
from faithkd.text import duration, percent, plain


def study_document(found: Row, figures: Iterable[Figure] = ()) -> Document:
    """found: the `results` of the study; figures: those that are drawn, of the others the page has the names alone."""
    drawn = {one.name: one for one in figures}
    answers = tuple(answer for made in (_ratios(found), _closed(found), _undecided(found)) for answer in made)
    missing = [Notice(f"This study is {found['state']}.", "It misses:", tuple(found["missing"]))]
    return Document(
        f"Faithful distillation on {TITLES[found['dataset']]}, beside the paper",
        _lead(found),
        head=(*(missing if found["missing"] else []), *([Answers(answers)] if answers else [])),
        sections=(
            *sections(found, lambda name: drawn.get(name) or figure(name)),
            Section("The run", blocks=(Facts(_facts(found)),), anchor="run"),
        ),
    )


def _lead(found: Row) -> str:
    """What the study is, in two sentences."""
    plan, first = found["plan"], found["radii"][0]
    radii = ", ".join(radius["label"] for radius in found["radii"])
    return (
        f"The study of Lamb et al. (2023), Faithful Knowledge Distillation, repeated with {len(plan['students'])} students on "
        f"{plan['images']:,} test images of {TITLES[found['dataset']]} at the radii {radii} (normalised units: pixels / "
        f"{round(first['eps_pixel'] / first['eps'], 6):g}), on regions cut with the pixel range and on whole ones, which the paper does "
        "not tell apart. Every number stands beside the paper's."
    )


def _ratios(found: Row) -> Iterable[Answer]:
    if compared := ratios(found):
        here, paper = [one for _, one, _ in compared], [other for _, _, other in compared]
        below = sum(one < other for _, one, other in compared)
        yield Answer(
            "FAITHUB / EMPLB below the paper's",
            f"{below} of {len(compared)} cells",
            f"from {min(here):.2f} to {max(here):.2f}; the paper's from {min(paper):.2f} to {max(paper):.2f}",
        )


def _closed(found: Row) -> Iterable[Answer]:
    if found["bounds"]:
        closed = {region: [row["closed"] for row in found["bounds"] if row["region"] == region] for region in REGIONS}
        shares = {region: sum(values) / len(values) for region, values in closed.items() if values}
        yield Answer(
            f"intervals closed to {found['plan']['gap']:g}",
            " and ".join(f"{percent(share, 0)} %" for share in shares.values()),
            "of all images and radii, " + " and ".join(REGION_TITLES[region] for region in shares),
        )


def _undecided(found: Row) -> Iterable[Answer]:
    certified = [row for row in found["agreement"] if row["certified"] is not None and row["eps"] != "0"]
    if certified:
        most = max(certified, key=undecided)
        yield Answer(
            "agreement left undecided",
            f"{percent(sum(map(undecided, certified)) / len(certified))} %",
            "of the images and radii"
            if undecided(most) == 0
            else f"on average; most for {most['network']} at {most['eps']}, {REGION_TITLES[most['region']]}: "
            f"{percent(undecided(most))} %",
        )


def _facts(found: Row) -> tuple[tuple[str, str], ...]:
    """Units, seeds, versions, hardware, time."""
    plan, environment, sessions = found["plan"], found["environment"], found["sessions"]
    workers = sorted({session["workers"] for session in sessions})
    return (
        ("state", found["state"]),
        ("images", f"{plan['images']:,}, drawn with seed {plan['seed']} from the test set; the same seed for every search"),
        ("radii", "; ".join(f"{r['label']} = {r['eps_pixel']:.5f} in pixels" for r in found["radii"])),
        ("limit", "; ".join(f"{limit:g} s at {r['label']}" for limit, r in zip(plan["timeout"], found["radii"], strict=True))
         + ", an image, of branch and bound"),
        ("method", f"complete, to a gap of {plan['gap']:g}"),
        ("proofs", ", ".join(f"{count:,} {kind}" for kind, count in found["proof"].items()) or "none yet"),
        ("hardware", machine(environment)),
        ("device", f"{environment['device']}, {' and '.join(map(str, workers)) or 'no'} worker processes of one thread"),
        ("versions", plain(environment["versions"])),
        ("time", f"{duration(found['seconds'])} in {len(sessions)} session{'s' * (len(sessions) != 1)}"
         + (f", {sessions[0]['date']}" if sessions else "")),
        *((name, _network(network)) for name, network in found["networks"].items()),
    )  # fmt: skip


def _network(network: Row) -> str:
    return (
        f"{network['method']}, {'-'.join(map(str, network['hidden']))}, {network['parameters']:,} parameters, seed {network['seed']}, "
        f"recipe {network['recipe']}, SHA-256 {network['sha256'][:16]}"
    )
