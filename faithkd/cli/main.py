"""`faithkd`: the group of commands, and what becomes of errors."""

from __future__ import annotations

import errno
import importlib
import sys
import traceback
from typing import Any, NoReturn

import click

from faithkd import __version__, interrupts
from faithkd.cli.options import say
from faithkd.errors import UserError

LONGEST = 600
"""Letters of a sentence."""
COMMANDS = {
    "certify": "Bound how far a student strays from its teacher, image by image.",
    "train": "Train a teacher by a recipe.",
    "distill": "Train a student from a teacher.",
    "evaluate": "Clean and robust accuracy of networks.",
    "benchmark": "Repeat the paper's whole study and report it beside the paper.",
    "report": "Rebuild a run's page, merge shards, compare runs.",
    "data": "List, find and download data sets.",
    "info": "Show the card of a network.",
}


class Commands(click.Group):
    """A group that imports a command when it is used and ends every error with one sentence."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The commands in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name, from its own file."""
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"faithkd.cli.{name}"), name)  # type: ignore[no-any-return]

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from COMMANDS alone so that `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, context: click.Context) -> Any:
        """Run the command; whatever it raises becomes one sentence and an exit status."""
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as stop:
            _end(context, str(stop) or "interrupted", interrupts.status())
        except BrokenPipeError:
            raise
        except Exception as error:
            if interrupts.asked():
                # A library has made its own error of it, or missed what was ended.
                _end(context, "interrupted", interrupts.status())
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            _end(context, sentence(error), 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="faithkd")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """Train students from teachers and prove how faithfully they imitate them.

    Begin with `faithkd certify`: it needs nothing else.
    """
    context.obj = {"debug": debug}


def sentence(error: BaseException) -> str:
    """One sentence for an error."""
    kind = type(error).__name__
    text = " ".join(str(error).split())
    if isinstance(error, UserError) or _of_verify(error, "Unsupported"):
        return text
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "can't allocate memory" in text:
        return "there is not enough memory; use fewer images, fewer worker processes or a smaller model"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full{_of(error)}; make room and try again"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{_of(error)}"
    if _of_verify(error, "Unsound"):
        return f"the run was stopped because a bound is wrong: {text}"
    return f"an unexpected error, {kind}: {text or 'no message'}; run again with --debug and report it"


def shortened(message: str) -> str:
    """A sentence that quotes what has no end, without its middle."""
    return message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"


def _end(context: click.Context, message: str, status: int) -> NoReturn:
    if context.find_root().obj["debug"]:
        traceback.print_exc()
    # As it stands: it may begin with a path or a name.
    say(f"Error: {shortened(message).rstrip('.')}." if status == 1 else f"\n{message}")
    context.exit(status)


def _of_verify(error: BaseException, name: str) -> bool:
    """Is it of a class of `verify.errors`, which may never have been imported."""
    found = sys.modules.get("verify.errors")
    return found is not None and isinstance(error, getattr(found, name))


def _of(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
