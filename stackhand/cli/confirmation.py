"""A name that the user types before something is lost."""

from __future__ import annotations

import sys

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure


def confirm(warning: str, name: str) -> None:
    """Let the user type a name before something is lost.

    Raises:
        Failure: it was not typed.
    """
    if not sys.stdin.isatty():
        raise Failure(f"{warning}.", next="repeat the command with --yes to confirm", code=ExitCode.USAGE)
    console.notify(f"{warning}.\nType {name} to confirm:")  # no result of the verb: stdout may have JSON
    try:
        typed = input().strip()
    except EOFError:
        typed = ""
    if typed != name:
        raise Failure("Cancelled: the name was not typed, and nothing was done.", code=ExitCode.FAILED)
