"""`faithkd benchmark`: the paper's whole study, reported beside the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from faithkd import interrupts
from faithkd.cli.options import Radius, data_dir_option, debug_option, device_option, import_option, say, tell
from faithkd.errors import UserError
from faithkd.text import plain

if TYPE_CHECKING:
    from faithkd.study import Plan, StudyFolder

OPTIONS = {
    "images": "images", "seed": "seed", "eps": "eps", "timeout": "timeout", "students": "students", "device": "device",
    "networks": "networks", "data_dir": "data_dir",
}  # fmt: skip


@click.command()
@click.argument("dataset", metavar="mnist|fashion-mnist")
@click.option("--quick", is_flag=True, help="50 images and short limits: the whole report in a few minutes.")
@click.option("--images", type=int, help="How many test images  [default: 1000, or 50 with --quick]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the drawn images and of every search.")
@click.option(
    "--eps",
    type=Radius(),
    multiple=True,
    help="Radius in normalised units, again for more  [default: the paper's five]",
)
@click.option(
    "--timeout",
    type=float,
    multiple=True,
    help="Seconds an image; once for all radii or once for each  [default: by radius]",
)
@click.option("--student", "students", multiple=True, help="sd, ard, rslad or fd, again for more  [default: all]")
@click.option(
    "--networks", metavar="FOLDER", help="Take DATASET-teacher.safetensors, DATASET-fd.safetensors, ... from here."
)
@click.option("--train", is_flag=True, help="Train the networks by the package's recipes first, into OUT/networks.")
@data_dir_option
@import_option
@device_option
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes on this machine.")
@click.option(
    "--out", metavar="FOLDER", help="Folder of the study  [default: runs/DATASET, with --quick runs/DATASET-quick]"
)
@click.option("--resume", is_flag=True, help="Go on with a study; its options need not be repeated.")
@debug_option
@click.pass_context
def benchmark(
    context: click.Context, /, dataset: str, quick: bool, train: bool, out: str | None, resume: bool, workers: int,
    **options: Any,
) -> None:  # fmt: skip
    """Repeat the paper's study on a data set: a teacher and four students at five radii, reported beside what the paper prints.

    By default on the networks and the 1,000 test images that come with faithkd: nothing is downloaded.
    """
    from faithkd.study import running

    if train and options["networks"] is not None:
        raise click.UsageError("give --train or --networks, not both")
    options["networks"] = "trained" if train else options["networks"]
    path = Path(out or f"runs/{dataset}{'-quick' if quick else ''}")
    folder = None
    try:
        with interrupts.held():
            folder = (
                _resumed(context, path, options | {"dataset": dataset})
                if resume
                else running.begin(_plan(dataset, quick, options), path)
            )
        running.run(folder, workers=workers, say=say)
        _show(folder)
    except KeyboardInterrupt:
        if folder is None:
            raise
        with interrupts.held():
            folder.stop()
        raise KeyboardInterrupt(
            f"stopped; everything done so far is kept; continue with: {running.resume_command(folder)}"
        ) from None


def _plan(dataset: str, quick: bool, options: dict[str, Any]) -> Plan:
    from faithkd import device
    from faithkd.imports import fingerprints
    from faithkd.study.plan import plan

    given = {field: options[option] for option, field in OPTIONS.items() if option != "timeout"}
    return plan(
        dataset,
        quick=quick,
        timeout=options["timeout"],
        imports=fingerprints(),
        **{**given, "device": str(device.choose(options["device"]))},
    )


def _resumed(context: click.Context, path: Path, options: dict[str, Any]) -> StudyFolder:
    """The study as it was asked for; an option on this command line must say the same."""
    from faithkd import imports
    from faithkd.study import StudyFolder

    folder = StudyFolder.open(path)
    imports.check(folder.plan.imports)
    asked = folder.plan.to_dict()
    options |= {"eps": sorted(options["eps"]), "students": list(options["students"])}
    options["timeout"] = list(options["timeout"]) * (len(asked["eps"]) if len(options["timeout"]) == 1 else 1)
    for option, field in {"dataset": "dataset", **OPTIONS}.items():
        given = context.get_parameter_source(option) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)
        given |= option == "networks" and options[option] is not None
        if given and option != "device" and options[option] != asked[field]:
            raise UserError(
                f"--{option.rstrip('s').replace('_', '-') if option == 'students' else option.replace('_', '-')} is "
                f"{plain(options[option], ' ')} but the study in {path} has {plain(asked[field], ' ')}; leave it out to continue, or start "
                "another study with another --out"
            )
    return folder


def _show(folder: StudyFolder) -> None:
    from faithkd.pages import write_study

    page = write_study(folder.path)
    tell(page.with_suffix(".md").read_text(encoding="utf-8").split("\n## ")[0].rstrip())
    tell(f"\nReport: {page}")
