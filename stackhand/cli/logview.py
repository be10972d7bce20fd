"""Logs as people ask for them and see them: `--since`, and a column with the name of each service."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


def since_of(text: str) -> datetime:
    """Return the time that `--since` means.

    A time without an offset is this machine's. Of the hour that comes twice in autumn it is the first one, so that no
    line is missed; `+01:00` behind it names either.

    Raises:
        Failure: it means none.
    """
    span = re.fullmatch(r"(\d+)([smhd])", text)
    try:
        if span:
            return datetime.now(UTC) - timedelta(**{UNITS[span[2]]: int(span[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):  # the latter before the first day of all calendars
        raise Failure(
            f"--since {text!r} is not a time.",
            evidence=["expected: 30s, 10m, 2h, 1d, or a time such as 2026-01-31T12:00:00 or 2026-01-31T12:00:00+01:00"],
            code=ExitCode.USAGE,
        ) from None
    return found if found.tzinfo else found.astimezone()


def writer(names: Sequence[str]) -> Callable[[str, str], None]:
    """Return a function that writes a line: for people on a terminal, unchanged into a pipe."""
    width = max(map(len, names))
    prefix = len(names) > 1
    if not sys.stdout.isatty():
        return lambda name, text: console.show(f"{name:<{width}} | {text}" if prefix else text)
    from rich.text import Text

    rich = console.rich_console(sys.stdout)
    colours = dict(zip(names, itertools.cycle(COLOURS), strict=False))

    def write(name: str, text: str) -> None:
        head = Text(f"{name:<{width}} | ", style=colours[name]) if prefix else Text()
        rich.print(head + Text(console.visible(console.readable(text))), soft_wrap=True)

    return write
