"""`faithkd certify`: the interval of every image, in a run folder with a page."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from faithkd import interrupts
from faithkd.cli.options import (
    Numbers,
    Radius,
    console,
    data_dir_option,
    debug_option,
    device_option,
    network_options,
    say,
    tell,
    valid_range_option,
)  # fmt: skip
from faithkd.errors import UserError
from faithkd.runs.request import Request
from faithkd.text import plain, printable

if TYPE_CHECKING:
    from faithkd.certification import Job
    from faithkd.runs import RunFolder

RUNS = Path("runs")
DEFAULTS = Request()
ENGINES = ("local", "ray")


@click.command()
@click.argument("teacher", default=DEFAULTS.teacher)
@click.argument("student", required=False)
@click.option("--data", metavar="NAME|FILE.npz", help="Data set  [default: embedded images of the teacher's data set]")
@data_dir_option
@valid_range_option
@click.option("--eps", type=Radius(), multiple=True, help="Radius, again for more  [default: two of the paper's]")
@click.option(
    "--unit", type=click.Choice(["pixel", "normalised"]), help="Of the radius  [default: pixel when --eps is given]"
)
@click.option(
    "--images", type=int, default=DEFAULTS.images, show_default=True, help="How many test images, drawn with --seed."
)
@click.option("--index", type=Numbers(), help="These positions in the test set instead, such as 3,5,100-119.")
@click.option(
    "--seed", type=int, default=DEFAULTS.seed, show_default=True, help="Of the drawn images and of the search."
)
@click.option("--delta", type=float, help="Decide imitation: is the difference of confidences at most DELTA.")
@click.option("--no-clip", is_flag=True, help="Leave regions uncut by the range of valid pixels.")
@click.option(
    "--method", default=DEFAULTS.method, show_default=True, help="Bounding method; `docs/guide.md` lists them."
)
@click.option(
    "--gap", type=float, default=DEFAULTS.gap, show_default=True, help="Interval width at which an image is closed."
)
@click.option(
    "--timeout", type=float, help="Seconds an image  [default: the method's own: 10 for complete, 30 for milp]"
)
@click.option("--max-nodes", type=int, help="Nodes an image: the limit that makes runs repeatable.")
@click.option(
    "--solver", default=DEFAULTS.solver, show_default=True, help="auto, gurobi, highs, cbc or scip, for lp and milp."
)
@click.option("--no-search", is_flag=True, help="Only prove: EMPLB is then the difference at the image itself.")
@network_options
@device_option
@click.option(
    "--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True,
    help="Where the work is done: on this machine, or on a Ray cluster (RAY_ADDRESS; without it Ray on this machine).",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1),
    help="Processes, one thread each  [default: 1; with ray, one a processor of the cluster]",
)  # fmt: skip
@click.option(
    "--shard", default=DEFAULTS.shard, show_default=True, help="Do part I of N of the images; `faithkd report` merges."
)
@click.option("--out", metavar="FOLDER", help="Run folder  [default: runs/first, then runs/2, ...]")
@click.option("--resume", is_flag=True, help="Go on with a run; its options need not be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json on stdout, and nothing else.")
@click.option("--report/--no-report", default=True, help="Write report.html and figures  [default: yes]")
@click.option("--fail-above", type=float, metavar="X", help="Exit with status 3 when a FAITHUB exceeds X.")
@debug_option
@click.pass_context
def certify(
    context: click.Context,
    /,
    out: str | None,
    resume: bool,
    engine: str,
    workers: int | None,
    as_json: bool,
    report: bool,
    fail_above: float | None,
    **options: Any,
) -> None:
    """Bound how far STUDENT strays from TEACHER around every image.

    For each image and radius: EMPLB <= max over the ball of |softmax(teacher) - softmax(student)| <= FAITHUB. EMPLB comes with an
    input that attains it, FAITHUB is proved. TEACHER and STUDENT are names of embedded networks or paths; without them an
    embedded MNIST pair is taken.
    """
    if options["student"] is None:
        if _given(context, "teacher"):
            raise click.UsageError("give both TEACHER and STUDENT, or neither")
        options["student"] = DEFAULTS.student
    from faithkd.certification.engines import engine_named

    engine_named(engine)
    with _Session() as session:
        job, folder = _resumed(context, options, out) if resume else _begun(options, out, session)
        session.folder = folder
        _run(job, folder, {"engine": engine, "workers": workers}, quiet=as_json)
        if report:
            from faithkd.pages import write_report

            write_report(folder.path)
    if as_json:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(folder.summary), indent=2))
    else:
        _show(folder, report)
    worst = max(radius.faithub.max for radius in folder.summary.radii)
    if fail_above is not None and not worst <= fail_above:
        say(f"The largest FAITHUB, {worst:.4f}, exceeds {fail_above:g}.")
        context.exit(3)


class _Session:
    """A block in which a run is worked on: when it is interrupted its folder says so, and the person hears how to go on."""

    folder: RunFolder | None = None

    def __enter__(self) -> _Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.folder is None or not isinstance(error, KeyboardInterrupt):
            return
        from faithkd.imports import as_options

        with interrupts.held():
            self.folder.stop("interrupted", 0.0)
        command = f"faithkd certify --resume --out {shlex.quote(str(self.folder.path))}{as_options()}"
        raise KeyboardInterrupt(f"stopped; everything proved so far is kept; continue with: {command}") from None


def _begun(options: dict[str, Any], out: str | None, session: _Session) -> tuple[Job, RunFolder]:
    from faithkd.certification.job import prepare
    from faithkd.certification.run import new_folder
    from faithkd.runs.lock import check_free

    path = Path(out) if out is not None else _fresh()
    check_free(path)
    job = prepare(_request(options))
    job.parts()
    _question(job)
    with interrupts.held():
        session.folder = new_folder(job, path)
    return job, session.folder


def _resumed(context: click.Context, options: dict[str, Any], out: str | None) -> tuple[Job, RunFolder]:
    """The run as it was asked for; an option on this command line must say the same."""
    from faithkd.certification.job import prepare
    from faithkd.runs import RunFolder

    with ExitStack() as unless_it_goes_on:
        folder = unless_it_goes_on.enter_context(RunFolder.open(out if out is not None else _latest()))
        asked, now = folder.summary.request, _request(options).to_dict()
        for option, field in FIELDS.items():
            if _given(context, option) and now[field] != asked.to_dict()[field]:
                raise UserError(
                    f"{_flag(option)} is {plain(now[field], ' ')} but the run in {folder.path} has {plain(asked.to_dict()[field], ' ')}; "
                    "leave it out to continue, or start another run with another --out"
                )
        job = prepare(asked)
        _question(job)
        unless_it_goes_on.pop_all()
    return job, folder


def _request(options: dict[str, Any]) -> Request:
    from faithkd import device
    from faithkd.imports import fingerprints

    values = {field: options[option] for option, field in FIELDS.items()} | {"imports": fingerprints()}
    values |= {
        "clip": not options["no_clip"],
        "search": not options["no_search"],
        "eps": tuple(sorted(options["eps"])) or None,
    }
    return Request(**{**values, "device": str(device.choose(options["device"]))})


FIELDS = {
    name: name for name in Request.__dataclass_fields__ if name not in ("clip", "search", "imports")
} | {"no_clip": "clip", "no_search": "search"}  # fmt: skip


def _question(job: Job) -> None:
    """Say what looks wrong before the work begins; it is begun all the same."""
    from faithkd.certification.questions import questions, slow_code
    from faithkd.runs.request import radius_label

    radii = {radius_label(eps): eps * job.scale for eps in job.request.eps or ()}
    for line in (*slow_code(), *questions(job.teacher, job.dataset, radii, job.request.teacher)):
        say(f"Note: {line}")


def _run(job: Job, folder: RunFolder, how: dict[str, Any], quiet: bool) -> None:
    from faithkd.certification.run import certify
    from faithkd.cli.progress import Progress

    with Progress(job, folder, quiet) as progress:
        certify(job, folder, **how, progress=progress.step)


def _show(folder: RunFolder, report: bool) -> None:
    from faithkd.pages.runs.tables import run_table, title_line
    from faithkd.pages.terminal import terminal_table

    shown, summary = console(), folder.summary
    table = run_table([summary])
    shown.print(printable(title_line(summary)), style="bold")
    shown.print(terminal_table(table, shown.width, without="images"))
    shown.print(table.note, style="dim")
    tell(f"Report: {folder.path / 'report.html'}" if report else f"Run folder: {folder.path}")


def _given(context: click.Context, option: str) -> bool:
    return context.get_parameter_source(option) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)


def _flag(option: str) -> str:
    return option.upper() if option in ("teacher", "student") else f"--{option.replace('_', '-')}"


def _fresh() -> Path:
    """`runs/first`, or the first free `runs/2`, `runs/3`, ..."""
    names = ["first", *(str(number) for number in range(2, 10_000))]
    return next(RUNS / name for name in names if not (RUNS / name).exists() or not any((RUNS / name).iterdir()))


def _latest() -> Path:
    """The run folder below `runs` that was touched last."""
    summaries = sorted(RUNS.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
    if not summaries:
        raise UserError("there is no run to continue below the folder runs; name one with --out")
    return summaries[-1].parent
