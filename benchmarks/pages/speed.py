"""The part of docs/results.md on speed: one table or line a figure of `speed.py`, on the CPU and, where recorded, on a CUDA device."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.pages.tables import Row, header, line, machine_line, matches, paragraph, recorded
from faithkd.study.paper import TITLES


def parts() -> dict[str, str]:
    """Those that are recorded, by name."""
    records = {"speed figures": "speed", "speed figures cuda": "speed-cuda"}
    return {part: speed_part(record) for part, record in records.items() if recorded(record)}


def speed_part(record: str) -> str:
    """Every figure of a record that has rows."""
    rows = recorded(record)
    blocks = []
    for figure, show in FIGURES.items():
        found = [row for row in rows if row["figure"] == figure]
        if found:
            blocks.append(show(found))
    return "\n\n".join([*blocks, machine_line(record)])


def methods(rows: list[Row]) -> str:
    """Images a second and mean gap of each bounding method."""
    lines = [header(f"method, {of(rows[0])}", ["images", "images a second", "mean gap", "closed to 0.01"])]
    for row in sorted(rows, key=lambda row: -row["images_a_second"]):
        closed = f"{100 * row['closed'] / row['images']:.0f} %"
        lines.append(
            line(
                f"`{row['method']}`",
                [f"{row['images']:,}", f"{row['images_a_second']:.3g}", f"{row['gap']:.4f}", closed],
            )
        )
    return "\n".join(lines)


def nodes(rows: list[Row]) -> str:
    """Nodes a second of `complete`."""
    rates = "; ".join(f"{of(row)}: {row['nodes_a_second']:,.0f}" for row in rows)
    return paragraph(
        f"Nodes a second of `complete`, searches and roots included, {rows[0]['images']} images each: {rates}."
    )


def search(rows: list[Row]) -> str:
    """Images a second of the searches."""
    rates = "; ".join(f"{row['search']}: {row['images_a_second']:,.0f}" for row in rows)
    return paragraph(f"Images a second of the searches, {of(rows[0])}: {rates}.")


def peers(rows: list[Row]) -> str:
    """Each program on the same queries: bound or interval, and seconds an image."""
    columns = list(dict.fromkeys((row["query"], row["eps"]) for row in rows))
    titles = {"exact": "one network's largest margin", "pair": "FAITHUB of the pair"}
    lines = [
        header(
            f"program, {TITLES[rows[0]['dataset']]} {rows[0]['student']}",
            [f"{titles[query]}, {eps}" for query, eps in columns],
        )
    ]
    for program in dict.fromkeys(row["program"] for row in rows):
        cells = []
        for query, eps in columns:
            found = [row for row in rows if matches(row, {"program": program, "query": query, "eps": eps})]
            cells.append(peer(found[0]) if found else "")
        lines.append(line(program, cells))
    note = paragraph(
        f"Mean bound (CPU seconds an image) on the same {rows[0]['images']} images, at most {rows[0]['timeout']:g} s each:"
    )
    return note + "\n\n" + "\n".join(lines)


def peer(row: Row) -> str:
    """One program on one kind of query."""
    if "refused" in row:
        return "not run"
    bound = row["bound"] if "bound" in row else row["faithub"]
    return f"{bound:.4f} ({row['cpu_seconds'] / row['images']:.3g})"


def training(rows: list[Row]) -> str:
    """Seconds an epoch of each recipe."""
    seconds = "; ".join(f"`{row['recipe']}` {row['seconds_an_epoch']:.1f}" for row in rows)
    return paragraph(f"Seconds an epoch of training on {rows[0]['images']:,} images: {seconds}.")


def five(rows: list[Row]) -> str:
    """The whole training of a data set's networks."""
    seconds = "; ".join(f"{TITLES[row['dataset']]} {row['seconds']:.0f}" for row in rows)
    return paragraph(
        f"""Seconds for a data set's five networks, {rows[0]["epochs"]} epochs each, the teacher first and the students side by side in
        {rows[0]["processes"]} processes: {seconds}."""
    )


def commands(rows: list[Row]) -> str:
    """How soon each command answers."""
    seconds = "; ".join(f"`{row['command']}` {row['seconds']:.2f}" for row in rows)
    return paragraph(f"Seconds of a command, the best of {rows[0]['calls']} calls: {seconds}.")


def memory(rows: list[Row]) -> str:
    """Peak memory of a process."""
    peaks = "; ".join(f"{what(row)} {row['peak_mib']:,} MiB" for row in rows)
    return paragraph(f"Peak memory of a process: {peaks}.")


def what(row: Row) -> str:
    """What a process did whose memory was measured."""
    nodes = f", {row['max_nodes']:,} nodes an image" if "max_nodes" in row else ""
    return f"{row['of']} ({row['images']:,} images{nodes})" if "images" in row else str(row["of"])


def of(row: Row) -> str:
    """The pair and the radius of a row."""
    return f"{TITLES[row['dataset']]} {row['student']} {row['eps']}"


FIGURES: dict[str, Callable[[list[Row]], str]] = {
    "methods": methods, "nodes": nodes, "search": search, "peers": peers, "training": training, "five": five, "commands": commands,
    "memory": memory,
}  # fmt: skip
