"""Lines of logs: their times, their order, and what is added to a file."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure

TAIL_BYTES = 1024 * 1024

TIMES = (
    (re.compile(r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d:?\d\d)?"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)()"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(r"^\d+:\w (\d\d \w{3} \d{4} \d\d:\d\d:\d\d(?:\.\d+)?)()"), "%d %b %Y %H:%M:%S"),
)
"""How a line of PostgreSQL (or ISO), nginx and Redis may begin: its time, and its offset.

Without one it is UTC, which both engines have the servers write.
"""


@dataclass(frozen=True)
class Line:
    """One line of a log: who said what, and when; a line without a time has that of the line before it."""

    service: str
    text: str
    at: datetime | None


def dated(service: str, texts: Sequence[str]) -> list[Line]:
    """Return a log's lines with the times they tell."""
    at = None
    result = []
    for text in texts:
        at = time_of(text) or at
        result.append(Line(service, text, at))
    return result


def since(lines: Sequence[Line], start: datetime | None) -> list[Line]:
    """Return the lines from a time on; all, without one."""
    return [line for line in lines if start is None or (line.at is not None and line.at >= start)]


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file; nothing when there is none.

    Raises:
        PermissionError: there is one that this account may not read.
    """
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - TAIL_BYTES)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except PermissionError:
        raise
    except OSError:
        return []
    whole = text.splitlines()
    return whole[1 if start and len(whole) > 1 else 0 :][-lines:]  # the first one may have lost its begin


def merged(logs: Sequence[Sequence[Line]]) -> list[Line]:
    """Return the lines of several logs in the order of their times."""
    earliest = datetime.min.replace(tzinfo=UTC)
    return sorted(itertools.chain(*logs), key=lambda line: line.at or earliest)


def time_of(text: str) -> datetime | None:
    """Return the time a log line begins with, in UTC; None when it has none that we know."""
    if text.startswith("{"):
        with suppress(ValueError, KeyError, TypeError):
            time = datetime.fromisoformat(json.loads(text)["time"])
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        return None
    for pattern, form in TIMES:
        match = pattern.match(text)
        if match:
            whole, _, fraction = match[1].replace("T", " ").partition(".")
            with suppress(ValueError):
                parsed = datetime.strptime(f"{whole} {match[2] or '+0000'}", f"{form} %z").astimezone(UTC)
                return parsed + timedelta(seconds=float(f"0.{fraction or 0}"))
    return None


class Follower:
    """Reads what is added to a file from now on, also when it is rotated away or made only later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[str] | None = None
        self.rest = ""
        self._open(at_end=True)

    def new_lines(self) -> Iterator[str]:
        """Yield the whole lines that were added since the last call."""
        if self.file is None:
            self._open(at_end=False)
        while self.file is not None:
            text = self.rest + self.file.read()
            *whole, self.rest = text.split("\n")
            yield from whole
            if not self._rotated():
                return
            self._open(at_end=False)

    def close(self) -> None:
        """Stop reading."""
        if self.file is not None:
            self.file.close()

    def _rotated(self) -> bool:
        assert self.file is not None  # noqa: S101 - called while it is open
        opened = os.fstat(self.file.fileno())
        try:
            named = self.path.stat()
        except OSError:
            return False
        return named.st_ino != opened.st_ino or named.st_size < self.file.tell()

    def _open(self, *, at_end: bool) -> None:
        self.close()
        try:
            self.file = self.path.open(encoding="utf-8", errors="replace")
        except PermissionError:
            raise
        except OSError:
            self.file = None
            return
        if at_end:
            self.file.seek(0, 2)


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
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):  # the latter before the first day of all calendars
        raise Failure(
            f"--since {text!r} is not a time.",
            evidence=["expected: 30s, 10m, 2h, 1d, or a time such as 2026-01-31T12:00:00 or 2026-01-31T12:00:00+01:00"],
            code=ExitCode.USAGE,
        ) from None
    return moment if moment.tzinfo else moment.astimezone()


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
