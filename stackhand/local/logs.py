"""`./inv logs`: what the services say, together in the order of time, or as they say it."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from stackhand import ROOT
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import merged
from stackhand.cli.loglines import since as lines_since
from stackhand.local import engines
from stackhand.project.state import State

SCANNED = 100_000
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


def logs(services: Sequence[str], *, follow: bool, since: str | None, lines: int) -> None:
    """Show the end of the logs.

    Args:
        services: whose; all, when empty.
        follow: go on until interrupted.
        since: only lines younger than this: 10m, 2h, 1d, or an ISO 8601 time.
        lines: how many of each service, at most.

    Raises:
        Failure: a service is not known, or `since` or `lines` cannot be understood.
    """
    if lines < 1:
        raise Failure(f"--lines {lines} shows nothing.", next="a number from 1 on", code=ExitCode.USAGE)
    start = since_of(since) if since else None
    engine = engines.remembered(State(ROOT))
    known = engine.started()
    if not known:
        raise Failure("There are no logs yet.", next="./inv up", code=ExitCode.UNHEALTHY)
    if unknown := [name for name in services if name not in known]:
        raise Failure(
            f"There is no service {unknown[0]!r}.", evidence=[f"known: {', '.join(known)}"], code=ExitCode.USAGE
        )
    chosen = list(services) or known
    write = writer(chosen)
    following = engine.follow(chosen) if follow else ()
    for line in merged(
        [lines_since(engine.lines(name, SCANNED if start else lines), start)[-lines:] for name in chosen]
    ):
        write(line.service, line.text)
    for line in following:
        write(line.service, line.text)


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
            f"--since {text!r} is no time.",
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
        rich.print(head + Text(console.readable(text)), soft_wrap=True)

    return write
