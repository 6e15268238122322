"""The parts of the benchmark programs that turn measurements into records and figures."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.measuring import cells, curves, methods, paper_tables
from benchmarks.measuring.record import Record, Row, Task, matches, measure_all
from benchmarks.pages import certifier
from benchmarks.pages import methods as page
from faithkd.study.paper import RADII


def row_of(first: int, emplb: list[float], faithub: list[float], **values: Any) -> Row:
    shared = {
        "crown": faithub,
        "root": faithub,
        "nodes": [3] * len(emplb),
        "timeout": 2.0,
        "started": 0.0,
        "seconds": 1.0,
    }
    count = {"first": first, "count": len(emplb), "status": {"closed": 1}, "cpu_seconds": 1.0}
    return {**shared, **count, "emplb": emplb, "faithub": faithub, **values}


@settings(max_examples=50)
@given(spans=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=8))
def test_the_time_covered_counts_every_second_once(spans: list[tuple[int, int]]) -> None:
    seconds = {second for start, length in spans for second in range(start, start + length)}
    assert cells.covered((start, start + length) for start, length in spans) == len(seconds)


def test_a_cell_does_not_depend_on_how_it_was_cut_into_chunks() -> None:
    emplb, faithub = [0.1, 0.0, 0.3, 0.2], [0.2, 0.01, 0.35, 0.6]
    whole = row_of(0, emplb, faithub, seconds=4.0, cpu_seconds=4.0, status={"closed": 1, "timeout": 3})
    parts = [
        row_of(0, emplb[:1], faithub[:1], started=0.0, status={"timeout": 1}),
        row_of(
            1, emplb[1:], faithub[1:], started=1.0, seconds=3.0, cpu_seconds=3.0, status={"closed": 1, "timeout": 2}
        ),
    ]
    one, other = cells.together([whole]), cells.together(parts)
    assert other == pytest.approx(one)
    assert one["faithub_ratio"] == pytest.approx(sum(faithub) / sum(emplb))
    assert one["closed"] == 0.25
    assert one["nodes_a_second"] == 3


def test_every_method_is_compared_with_the_best_emplb_of_all() -> None:
    shared = {"gap": 0.01, "trace": []}
    rows = [
        row_of(0, [0.1, 0.2], [0.3, 0.205], method="crown", timeout=None, **shared),
        row_of(1, [0.2], [0.202], method="minlp", timeout=1.0, **shared),
        row_of(0, [0.15], [0.155], method="minlp", timeout=1.0, **shared),
        row_of(0, [0.15], [0.151], method="minlp", timeout=3.0, **shared),
        row_of(0, [0.1, 0.2], [0.158, 0.201], method="complete", timeout=9.0, gap=0.01, trace=[[0.5, 0.2, 1]]),
    ]
    found = curves.curves(rows)
    assert [point.gap for point in found["crown"]] == pytest.approx([(0.15 + 0.005) / 2])
    assert [(point.closed, point.seconds) for point in found["minlp"]] == [(1.0, 1.0)], "a limit without all images"
    started, ended = found["complete"]
    assert (started.seconds, started.closed) == (0.25, 0.5)
    assert started.gap == pytest.approx(0.2 - 0.175)
    assert (ended.seconds, ended.closed) == (0.5, 1.0)
    assert curves.ahead(found["complete"], found["minlp"]) == 0
    assert curves.ahead(found["complete"], found["crown"]) == 1


@pytest.mark.parametrize(("goal", "seconds"), [(1, 0.5), (2, 2.0), (3, 4.0), (4, None)])
def test_catching_up_with_the_prototype(goal: int, seconds: float | None) -> None:
    trace = [[0.5, 0.3, 1], [2.0, 0.2, 2], [3.0, 0.2, 2]]
    row = {"closed": 3, "cpu_seconds": 4.0, "trace": trace, "prototype_closed": goal}
    assert curves.caught_up(row) == seconds


def test_the_figure_names_the_records_that_it_shows(tmp_path: Path) -> None:
    rows = [
        row_of(
            0,
            [0.1],
            [0.1 + 0.1 / k],
            what="curve",
            pair="mnist/fd/8/255",
            method=method,
            timeout=None,
            gap=0.01,
            trace=[],
        )
        for k, method in enumerate(("crown", "complete"), 1)
    ]
    curves.draw(rows, tmp_path / "figures" / "gap")
    assert (tmp_path / "figures" / "gap.png").stat().st_size > 10_000
    assert curves.digest(json.loads(json.dumps(rows))) in (tmp_path / "figures" / "gap.svg").read_text()
    assert curves.digest(rows[:1]) not in (tmp_path / "figures" / "gap.svg").read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_benchmark_goes_on_where_it_was(tmp_path: Path, workers: int) -> None:
    tasks = [Task({"place": k}, dict, ({"value": k * k},)) for k in range(5)]
    first = measure_all(Record("squares", tmp_path), tasks)
    for _ in range(2):
        next(first)
    first.close()
    forbidden = [Task(task.key, time.sleep, (3600,)) for task in tasks[:2]]
    rows = list(measure_all(Record("squares", tmp_path), [*forbidden, *tasks[2:]], workers))
    assert sorted((row["place"], row["value"]) for row in rows) == [(k, k * k) for k in range(5)]
    assert len(Record("squares", tmp_path).rows) == 5
    Record("squares", tmp_path).drop({"value": 9})
    assert [row["place"] for row in sorted(Record("squares", tmp_path).rows, key=lambda row: row["place"])] == [
        0,
        1,
        2,
        4,
    ]


def test_the_readme_says_what_of_a_cell_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certifier, "machine_line", lambda name: "")
    chunk = row_of(
        0, [0.1, 0.2], [0.15, 0.3], dataset="mnist", student="fd", eps="0.2", workers=2, status={"timeout": 2}
    )
    table = certifier.certifier_part([chunk])
    assert "| not run | not run | not run | not run | 0.1500 / 0.2250 (2 images) |" in table
    assert "1.50 (1.50, 1.50, 7.49)" in table
    assert "Fashion" not in table


def method_row(row: str, loop: int | None = None, **values: float) -> Row:
    shares = dict.fromkeys(("clean", "pgd_50", "cw_linf", "autoattack", "agreement"), 0.9)
    costs = {"cpu_seconds_per_epoch": 2.0, "forward_passes": 11.0, "backward_passes": 10.0}
    bounds = {"emplb": 0.1, "faithub": 0.2, "gradient_distance": 1.0}
    return {"row": row, "loop": loop, **shares, **bounds, **costs, **values}


@pytest.mark.parametrize(
    ("robust", "early", "answer"),
    [
        (0.90, 0.92, "yes"),
        (0.92, 0.90, "no"),
        (0.905, 0.90, "no clear difference"),
        (0.90, 0.905, "no clear difference"),
    ],
)
def test_what_a_paper_found_is_asked_of_the_recorded_rows(robust: float, early: float, answer: str) -> None:
    rows = [
        method_row("akd, mixing 1, robust", autoattack=robust),
        method_row("akd, mixing 1, robust, early", autoattack=early),
        method_row("at"),
    ]
    (line,) = page.findings(rows).splitlines()[2:]
    assert "stopped early" in line
    shown = [cell.strip() for cell in line.split("|")][3:6]
    assert shown[:2] == [f"{rows[1]['row']} {100 * early:.1f}", f"{rows[0]['row']} {100 * robust:.1f}"]
    assert shown[2] == answer


def test_gradients_are_found_nearer_where_their_distance_is_smaller() -> None:
    for distance, answer in ((0.5, "yes"), (1.5, "no")):
        rows = [method_row("kdiga", gradient_distance=distance), method_row("st")]
        (line,) = page.findings(rows).splitlines()[2:]
        assert line.endswith(f"| kdiga {distance:.3f} | st 1.000 | {answer} |")


def test_a_loop_is_a_row_of_its_own() -> None:
    rows = [method_row("isd-wot", 0, pgd_50=0.8), method_row("isd-wot", 1, pgd_50=0.9)]
    assert [line.split(" | ")[0] for line in page.table(rows).splitlines()[2:]] == [
        "| isd-wot, loop 0",
        "| isd-wot, loop 1",
    ]
    assert "isd-wot, loop 1 90.0 | isd-wot, loop 0 80.0 | yes" in page.findings(rows)


def test_every_finding_compares_rows_that_the_benchmark_has() -> None:
    known = {name for name, row in methods.ROWS.items() if not row.loops}
    known |= {f"{name}, loop {loop}" for name, row in methods.ROWS.items() for loop in row.loops}
    assert {name for finding in page.FINDINGS for pair in finding.pairs for name in pair} <= known


@pytest.mark.parametrize("dataset", RADII)
def test_what_is_recorded_beside_the_paper_is_not_measured_again(dataset: str) -> None:
    programs = paper_tables.program_tasks(dataset, list(RADII[dataset])[:3], 10.0)
    for name, tasks in (("tables", paper_tables.table_tasks(dataset)), ("programs", programs)):
        rows = Record(f"paper-{name}-{dataset}").rows
        # The limit of `milp` is what was asked for.
        keys = [task.key for task in tasks if task.key.get("method") != "milp"]
        found = [sum(matches(row, key) for row in rows) for key in keys]
        assert set(found) == {1}, name
