"""The program `faithkd`. Signals are taken before anything else is imported, so that Ctrl-C counts from the first moment."""

from __future__ import annotations

import sys
from typing import NoReturn

from faithkd import interrupts


def main() -> NoReturn:
    """Run the command line and end the process: 0 done, 1 an error, 2 wrong usage, 3 by --fail-above, 130 on Ctrl-C, 143 on SIGTERM."""
    interrupts.install()
    code: int | str | None = 0
    try:
        from faithkd.cli.main import main as commands

        commands(prog_name="faithkd")
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        code = interrupts.status()
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
    interrupts.end(code if isinstance(code, int) else int(code is not None))
