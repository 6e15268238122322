"""The parts on `complete`: its bounds on the embedded pairs, its gap against time, and the decisions that it settles."""

from __future__ import annotations

from benchmarks.measuring.cells import EFFORT, STUDENTS, Cell, cells, together
from benchmarks.measuring.curves import Point, ahead, by_pair, caught_up, curves
from benchmarks.pages.tables import Row, header, line, machine_line, matches, one, paragraph, recorded
from faithkd.study.paper import RADII, TITLES, printed

FIGURE = "docs/figures/gap-time.png"


def parts() -> dict[str, str]:
    """Those that are recorded, by name."""
    certifier, gap_time, decisions = (recorded(name) for name in ("certifier", "gap-time", "decisions"))
    chunks = [row for row in certifier if row["what"] == "chunk"]
    found = {
        "certifier": certifier_part(chunks) if chunks else "",
        "gap-time": gap_time_part(gap_time) if gap_time else "",
        "decisions": decisions_part(decisions) if decisions else "",
    }
    return {name: content for name, content in found.items() if content}


def certifier_part(chunks: list[Row]) -> str:
    """A table a data set: each student's bounds, ratios and times at each radius."""
    workers = " or ".join(str(number) for number in sorted({row["workers"] for row in chunks}))
    blocks = [
        paragraph(f"""The embedded pairs, regions cut with the pixel range, radii in normalised units, to a gap of 0.01. A ratio is
            mean FAITHUB over mean EMPLB, the best one met: by `complete`, and in brackets *before branching, by `crown`, the paper's*.
            Closed: images with a gap of at most 0.01. Time: seconds of one core an image. Nodes are counted a second of the whole run,
            searches included, by {workers} process(es) of one thread. A column names its images and its limit in seconds of one core an
            image."""),
    ]
    for dataset, radii in RADII.items():
        lines, columns = [], []
        for eps in radii:
            limits = sorted({row["timeout"] for row in chunks if (row["dataset"], row["eps"]) == (dataset, eps)})
            columns.append(
                f"{eps} ({', '.join([f'{EFFORT[dataset][eps][0]:,}', *(f'{limit:g} s' for limit in limits)])})"
            )
        for student in students(dataset, chunks):
            texts = [cell_texts(chunks, cell) for cell in cells([f"{dataset}/{student}/*"])]
            titles = ("EMPLB / FAITHUB", "ratio", "closed, time", "nodes a second")
            lines += [
                line(f"{student}, {title}", list(row))
                for title, row in zip(titles, zip(*texts, strict=True), strict=True)
            ]
        if lines:
            blocks.append("\n".join([header(TITLES[dataset], columns), *lines]))
    blocks.append(machine_line("certifier"))
    return "\n\n".join(blocks)


def cell_texts(chunks: list[Row], cell: Cell) -> tuple[str, str, str, str]:
    """Bounds, ratios, closure with time, and nodes a second of one cell; says so where not all of its images are recorded."""
    rows = [row for row in chunks if matches(row, cell.pair)]
    if not rows:
        return ("not run",) * 4
    found = together(rows)
    emplb, faithub = (printed(cell.dataset, cell.eps, cell.student, bound) for bound in ("emplb", "faithub"))
    part = "" if found["images"] == cell.images else f" ({found['images']} images)"
    return (
        f"{found['emplb']:.4f} / {found['faithub']:.4f}{part}",
        f"{found['faithub_ratio']:.2f} ({found['root_ratio']:.2f}, {found['crown_ratio']:.2f}, {faithub / emplb:.2f})",
        f"{100 * found['closed']:.1f} %, {found['core_seconds']:.2f} s",
        f"{found['nodes_a_second']:,.0f}",
    )


def gap_time_part(rows: list[Row]) -> str:
    """The figure, how `complete` compares with `minlp` at each of its points, and with the prototype."""
    blocks = []
    groups = by_pair(rows)
    if groups:
        images = max(row["first"] + row["count"] for row in next(iter(groups.values())))
        blocks.append(f"![Mean gap, and images closed, against time, by method]({FIGURE})")
        blocks.append(
            paragraph(f"""The same {images} test images for every method, one thread: mean FAITHUB less the best EMPLB that any of
                them found, and images where that is at most 0.01, against CPU seconds an image, searches and cheaper methods of the
                chain included. `complete` reports while it runs; `milp` and `minlp` are run anew with each of several limits.""")
        )
        blocks += [paragraph(duel(pair, curves(found))) for pair, found in groups.items()]
    rivals = [row for row in rows if row["what"] == "prototype"]
    if rivals:
        columns = ["images", "gap", "prototype: closed, after", "`complete`: as many, after", "times faster"]
        lines = [header("pair, radius", columns), *(rival_line(row) for row in rivals)]
        blocks.append(
            paragraph("""Branch and bound before this project, on its own networks of the same sizes (wall clock), and `complete`
                (CPU seconds of one thread):""")
        )
        blocks.append("\n".join(lines))
    blocks.append(machine_line("gap-time"))
    return "\n\n".join(blocks)


def duel(pair: str, found: dict[str, list[Point]]) -> str:
    """Where `complete` and `minlp` end, and at how many of its points `minlp` is behind."""
    ends = "; ".join(
        f"`{method}` {points[-1].gap:.4f}, {100 * points[-1].closed:.0f} % closed, {points[-1].seconds:.2f} s"
        for method, points in found.items()
    )
    text = f"{spoken(pair)}, mean gap at the end: {ends}."
    if {"complete", "minlp"} <= found.keys():
        behind, every = ahead(found["complete"], found["minlp"]), len(found["minlp"])
        text += f" At {behind} of `minlp`'s {every} points `complete` was closer, with as many images closed, in no more time."
    return text


def rival_line(row: Row) -> str:
    """One setting of the prototype."""
    seconds = caught_up(row)
    ours = f"{row['closed']} closed, {row['cpu_seconds']:.1f} s" if seconds is None else f"{seconds:.1f} s"
    faster = "no" if seconds is None else f"{row['prototype_seconds'] / seconds:.0f}"
    threads = f"{row['prototype_seconds']:g} s on {row['prototype_threads']} core{'s' if row['prototype_threads'] > 1 else ''}"
    cells = [str(row["count"]), f"{row['gap']:g}", f"{row['prototype_closed']}, {threads}", ours, faster]
    return line(spoken(row["pair"]), cells)


def decisions_part(rows: list[Row]) -> str:
    """The interval that holds the certified agreement of each pair and radius, and what stays undecided."""
    blocks = [
        paragraph("""Certified agreement on the same images, in %: from the share where no input of the region divides the two
            networks (proved) to one less the share with a proved witness; in brackets the empirical agreement below; undecided; CPU
            seconds an image.""")
    ]
    for dataset in RADII:
        radii = [eps for eps in RADII[dataset] if any((row["dataset"], row["eps"]) == (dataset, eps) for row in rows)]
        if not radii:
            continue
        searches = recorded(f"paper-tables-{dataset}")
        lines = [header(f"{TITLES[dataset]}, %", radii)]
        for student in students(dataset, rows):
            texts = [
                agreement_text(rows, searches, {"dataset": dataset, "student": student, "eps": eps}) for eps in radii
            ]
            lines.append(line(student, texts))
        blocks.append("\n".join(lines))
    blocks.append(machine_line("decisions"))
    return "\n\n".join(blocks)


def agreement_text(rows: list[Row], searches: list[Row], key: Row) -> str:
    """One pair at one radius."""
    found = [row for row in rows if matches(row, key)]
    if not found:
        return "not run"
    images = sum(row["count"] for row in found)
    certified, refuted, undecided = (
        sum(row[which] for row in found) / images for which in ("certified", "refuted", "undecided")
    )
    empirical = one(searches, what="robust", network=key["student"], eps=key["eps"], region="cut")["agreement"]
    seconds = sum(row["cpu_seconds"] for row in found) / images
    return f"{100 * certified:.1f} to {100 * (1 - refuted):.1f} ({100 * empirical:.1f}), undecided {100 * undecided:.1f}, {seconds:.2f} s"


def students(dataset: str, rows: list[Row]) -> list[str]:
    """Those with any row of the data set."""
    return [name for name in STUDENTS if any(matches(row, {"dataset": dataset, "student": name}) for row in rows)]


def spoken(pair: str) -> str:
    """`mnist/fd/0.1` for a reader."""
    dataset, student, eps = pair.split("/", 2)
    return f"{TITLES[dataset]} {student}, {eps}"
