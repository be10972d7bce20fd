"""`./inv cloud.logs`: what all tasks say, in the order of time, or as they say it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stackhand.aws.errors import code_of, failure
from stackhand.cli.logview import since_of, writer
from stackhand.release import logs, standing
from stackhand.release.logs import Line
from stackhand.release.target import Service

LOOKS = 2.0
OVERLAP = 10_000
"""Milliseconds to look back each time: CloudWatch shows lines some seconds late, and not in their order."""
DEFAULT_SPAN = timedelta(hours=1)


def show(services: Sequence[str], *, environment: str, follow: bool, since: str, lines: int) -> None:
    """Show the end of the logs.

    Args:
        services: whose; all, when empty.
        environment: where.
        follow: go on until interrupted.
        since: only what is younger: 10m, 2h, 1d or a time; an hour, when empty.
        lines: how many of each service, at most.

    Raises:
        Failure: a service is not known, or CloudWatch refuses.
    """
    stands = standing.find(environment)
    names = standing.chosen(stands.target, list(services))
    cloudwatch = stands.environment.client("logs")
    start = since_of(since) if since else datetime.now(UTC) - DEFAULT_SPAN
    write = writer(names)
    chosen = {name: stands.target.services[name] for name in names}
    begin = int(start.timestamp() * 1000)
    first = {name: _last(cloudwatch, name, each, begin, lines) for name, each in chosen.items()}
    for line in logs.together(first.values()):
        write(line.service, line.text)
    if follow:
        _follow(cloudwatch, chosen, begin, first, write)


def _follow(
    cloudwatch: Any,
    chosen: Mapping[str, Service],
    begin: int,
    before: Mapping[str, list[Line]],
    write: Callable[[str, str], None],
) -> None:
    """Write what is added, until somebody interrupts us.

    Args:
        cloudwatch: boto3's client for logs.
        chosen: the services by name.
        begin: the earliest time of a line, in milliseconds.
        before: the lines of each service that are written already; those before them are not to be.
        write: called with a service and its line.
    """
    written = logs.together(before.values())
    last = max((line.at for line in written), default=int(time.time() * 1000))
    shown = {_key(line) for line in written}
    for name in filter(before.get, before):
        found = _since(cloudwatch, name, chosen[name], max(begin, last - OVERLAP))
        shown |= {_key(line) for line in found if line.at <= before[name][0].at}
    while True:
        time.sleep(LOOKS)
        since = max(begin, last - OVERLAP)
        found = logs.together([_since(cloudwatch, name, each, since) for name, each in chosen.items()])
        for line in found:
            if _key(line) not in shown:
                write(line.service, line.text)
            last = max(last, line.at)
        shown = {_key(line) for line in found} or shown


def _key(line: Line) -> str:
    return f"{line.service} {line.number or line}"


def _last(cloudwatch: Any, name: str, service: Service, start: int, lines: int) -> list[Line]:
    return _read(name, lambda: logs.last(cloudwatch, name, service, start, lines))


def _since(cloudwatch: Any, name: str, service: Service, start: int) -> list[Line]:
    return _read(name, lambda: list(logs.since(cloudwatch, name, service, start)))


def _read(name: str, read: Callable[[], list[Line]]) -> list[Line]:
    try:
        return read()
    except Exception as error:
        if code_of(error) == "ResourceNotFoundException":
            return []
        raise failure(f"The log of {name} cannot be read", error) from error
