"""Options and types that several commands share."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from faithkd.text import printable

if TYPE_CHECKING:
    from rich.console import Console


class Radius(click.ParamType):  # type: ignore[type-arg]
    """A number, or a fraction such as `8/255`."""

    name = "radius"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """The number."""
        try:
            return float(Fraction(value)) if "/" in str(value) else float(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is not a number such as 0.1 or 8/255", parameter, context)


MOST_NUMBERS = 10**6


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Whole numbers and ranges: `4711`, `3,5,8`, `0-99`."""

    name = "numbers"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[int, ...]:
        """The numbers in the order given."""
        if isinstance(value, tuple):
            return value
        numbers: list[int] = []
        for word in value.split(","):
            first, dash, last = word.strip().partition("-") if not word.strip().startswith("-") else (word, "", "")
            try:
                start, end = int(first), int(last if dash else first) + 1
            except ValueError:
                self.fail(f"{word!r} is not a whole number or a range such as 0-99", parameter, context)
            if not 0 < end - start <= MOST_NUMBERS - len(numbers):
                self.fail(
                    f"{word!r} is not a range of 1 to {MOST_NUMBERS:,} numbers, together with those before it",
                    parameter,
                    context,
                )
            numbers += range(start, end)
        return tuple(numbers)


class Statistics(click.ParamType):  # type: ignore[type-arg]
    """A number, or one a channel: `0.1307`, `0.4914,0.4822,0.4465`."""

    name = "statistics"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers in the order given."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(word) for word in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, or one a channel such as 0.49,0.48,0.45", parameter, context)
        if not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r} is not of finite numbers", parameter, context)
        return numbers


def _import(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> None:
    if names:
        from faithkd.imports import load_all

        load_all(names)


import_option = click.option(
    "--import",
    metavar="MODULE|FILE.py",
    multiple=True,
    expose_value=False,
    is_eager=True,
    callback=_import,
    help="Import a module of your own that registers networks or methods.",
)
valid_range_option = click.option(
    "--valid-range", type=float, nargs=2, metavar="LOW HIGH", help="Range of the floating-point values in an .npz file."
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a network is whose file does not: each once for all networks, or once for each in their order."""
    decorators = [
        click.option(
            "--architecture", multiple=True, metavar="NAME",
            help="Of a network that is a plain state dict; none for one that is not. Once for all networks, or once for each.",
        ),
        click.option(
            "--mean", multiple=True, type=Statistics(), metavar="M[,M...]",
            help="What a plain state dict's inputs are normalised with: pixels in [0, 1] less M, over S; 0 and 1 for raw pixels.",
        ),
        click.option("--std", multiple=True, type=Statistics(), metavar="S[,S...]", help="See --mean."),
        import_option,
    ]  # fmt: skip
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def debug_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--debug` after the command's name, as good as before it."""

    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.find_root().obj["debug"] = True

    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=remember, help="Show the traceback of an error."
    )(command)


device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
data_dir_option = click.option(
    "--data-dir", metavar="FOLDER", help="Where the data sets are (else $FAITHKD_DATA, then the user cache)."
)


def say(message: str) -> None:
    """A line for the person, on stderr."""
    click.echo(printable(message, lines=True), err=True)


def tell(message: str) -> None:
    """A line of the answer, on stdout; names that come from files cannot command the terminal."""
    click.echo(printable(message, lines=True))


def console(least: int = 0) -> Console:
    """Where tables are shown, as wide as the terminal and at least so wide; brackets in names are shown, not obeyed."""
    from rich.console import Console

    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 110
    made.width = max(made.width, least)
    return made


def on_terminal() -> bool:
    """Is stderr a terminal, so that a bar can be drawn."""
    return sys.stderr.isatty()
