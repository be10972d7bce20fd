"""The services' logs in CloudWatch: the end of one task's, and all of them together."""

from __future__ import annotations

import heapq
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from stackhand.aws.errors import code_of, failure, message_of
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import since_of, writer
from stackhand.infrastructure import advice
from stackhand.project import inherited
from stackhand.release.context import find
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.target import Target, TaskTarget, short

CHECKED_EVERY = 2.0
OVERLAP = 10_000
"""Milliseconds to look back each time: CloudWatch shows lines some seconds late, and not in their order."""
DEFAULT_SPAN = timedelta(hours=1)
FIRST_WINDOW = 10_000
"""Milliseconds in which the last lines are looked for at first; each window before it is so many times as long:"""

GROWTH = 6


@dataclass(frozen=True)
class LogLine:
    """One line.

    Args:
        at: milliseconds since 1970.
        number: of CloudWatch, the same each time it is asked.
    """

    at: int
    service: str
    text: str
    number: str


def show(services: Sequence[str], *, environment: str, follow: bool, since: str, lines: int) -> None:
    """Show the end of the logs.

    Args:
        services: whose, which may be jobs; those of all services, when empty.
        environment: where.
        follow: go on until interrupted.
        since: only what is younger: 10m, 2h, 1d or a time; an hour, when empty.
        lines: how many of each service, at most.

    Raises:
        Failure: a service is not known, or CloudWatch refuses.
    """
    state = find(environment)
    names = _chosen(state.target, services, state.target.tasks())
    cloudwatch = state.environment.client("logs")
    start = since_of(since) if since else datetime.now(UTC) - DEFAULT_SPAN
    write = writer(names)
    chosen = {name: state.target.tasks()[name] for name in names}
    begin = int(start.timestamp() * 1000)
    first = {name: _read(name, partial(last, cloudwatch, name, each, begin, lines)) for name, each in chosen.items()}
    for line in together(first.values()):
        write(line.service, line.text)
    if follow:
        _follow(cloudwatch, chosen, begin, first, write)


def _chosen(target: Target, services: Sequence[str], known: Mapping[str, TaskTarget]) -> list[str]:
    """Return the services that were named, of those that are known; all services when none was.

    Raises:
        Failure: one is not known.
    """
    unknown = [name for name in services if name not in known]
    if unknown:
        raise Failure(
            f"There is no service {unknown[0]!r} in {target.environment}.",
            evidence=[f"known: {', '.join(known)}"],
            code=ExitCode.USAGE,
        )
    return [*(services or target.services)]


def _follow(
    cloudwatch: Any,
    chosen: Mapping[str, TaskTarget],
    begin: int,
    before: Mapping[str, list[LogLine]],
    write: Callable[[str, str], None],
) -> None:
    """Write what is added, until somebody interrupts us.

    No line is from before `begin`, in milliseconds; none of those `before`, of each service, or earlier ones is
    written again.
    """
    written = together(before.values())
    last = max((line.at for line in written), default=int(time.time() * 1000))
    shown = {_key(line) for line in written}
    for name in filter(before.get, before):
        lines = _since(cloudwatch, name, chosen[name], max(begin, last - OVERLAP))
        shown |= {_key(line) for line in lines if line.at <= before[name][0].at}
    while True:
        time.sleep(CHECKED_EVERY)
        since = max(begin, last - OVERLAP)
        lines = together([_since(cloudwatch, name, each, since) for name, each in chosen.items()])
        for line in lines:
            if _key(line) not in shown:
                write(line.service, line.text)
            last = max(last, line.at)
        shown = {_key(line) for line in lines} or shown


def _key(line: LogLine) -> str:
    return f"{line.service} {line.number}"


def _since(cloudwatch: Any, name: str, service: TaskTarget, start: int) -> list[LogLine]:
    return _read(name, lambda: list(since(cloudwatch, name, service, start)))


def _read(name: str, read: Callable[[], list[LogLine]]) -> list[LogLine]:
    try:
        return read()
    except Exception as error:
        if code_of(error) == "ResourceNotFoundException":
            return []
        raise failure(f"The log of {name} cannot be read", error) from error


def last(logs: Any, name: str, service: TaskTarget, start: int, lines: int) -> list[LogLine]:
    """Return the last lines of all tasks of a service, none older than `start`.

    It goes back from now in windows, so that a service which says a lot is not read from its beginning; no more than a
    page and what is returned is kept at a time.
    """
    collected: list[LogLine] = []
    begin, end, width = int(time.time() * 1000) - FIRST_WINDOW, None, FIRST_WINDOW
    while lines > 0:
        begin = max(begin, start)
        known = {line.number for line in collected}
        window = (line for line in since(logs, name, service, begin, end) if line.number not in known)
        newest = heapq.nlargest(lines - len(collected), enumerate(window), key=lambda each: (each[1].at, each[0]))
        collected = [line for _, line in reversed(newest)] + collected
        if len(collected) >= lines or begin <= start:
            break
        width *= GROWTH
        begin, end = begin - width, begin
    return collected


def since(logs: Any, name: str, service: TaskTarget, start: int, end: int | None = None) -> Iterator[LogLine]:
    """Yield the lines of all tasks of a service from a time on, in CloudWatch's order, page by page."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=service.log_group,
        logStreamNamePrefix=f"{service.log_stream_prefix}/",
        startTime=start,
        **({} if end is None else {"endTime": end}),
    )
    for page in pages:
        for each in page.get("events", []):
            yield LogLine(int(each["timestamp"]), name, str(each["message"]).rstrip("\n"), str(each.get("eventId")))


def together(parts: Iterable[Iterable[LogLine]]) -> list[LogLine]:
    """Return the lines of several services in the order of their times."""
    return sorted((line for part in parts for line in part), key=lambda line: line.at)


PLUGIN = "session-manager-plugin"


def execute(*, environment: str, service: str, command: str) -> None:
    """Become a session in the newest task of a service; does not return.

    Raises:
        Failure: there is no task, ECS Exec is not enabled for it, or its plugin is not here.
    """
    state = find(environment)
    name = _chosen(state.target, [service], state.target.services)[0]
    if shutil.which(PLUGIN) is None:
        raise Failure(
            f"There is no {PLUGIN} on PATH, and ECS Exec needs it.",
            next="install AWS's Session Manager plugin, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    cluster = Cluster(state.environment.client("ecs"), state.target.cluster)
    task = _newest(cluster, state.target, name)
    try:
        session = cluster.execute(task, state.target.services[name].container, command)
    except Exception as error:
        if "execute command was not enabled" not in message_of(error):
            raise failure(f"The command cannot be run in {name}", error) from error
        raise Failure(
            f"ECS Exec is not enabled for {name}.",
            evidence=[message_of(error)],
            next=f"set exec = true in environments/{environment}.tfvars, then deploy",
            code=ExitCode.PREFLIGHT,
        ) from error
    if "ALL" in dropped(state.target.services[name]):
        console.notify(f"{name}: {advice.EXEC_LACKS}")
    if sys.stdin.isatty():
        console.notify(f"in {name}, task {short(task)[:12]}; exit to return")
    region = state.environment.region
    target = {"Target": f"ecs:{cluster.name}_{short(task)}"}
    args = [PLUGIN, json.dumps(session), region, "StartSession", "", json.dumps(target)]
    args.append(f"https://ssm.{region}.amazonaws.com")
    os.execvpe(PLUGIN, args, inherited.environment("session-manager"))  # noqa: S606 - the very purpose


def dropped(service: TaskTarget) -> list[str]:
    """Return the capabilities that a service's containers go without."""
    containers = service.task_definition.get("containerDefinitions", [])
    linux = [each.get("linuxParameters") or {} for each in containers]
    return [name for each in linux for name in (each.get("capabilities") or {}).get("drop") or []]


def _newest(cluster: Cluster, target: Target, name: str) -> str:
    """Return the task of a service that was started last."""
    try:
        task = cluster.newest_task(target.services[name].service)
    except Exception as error:
        raise failure(f"The tasks of {name} cannot be listed", error) from error
    if not task:
        status = f"./inv cloud.status -e {target.environment}"
        raise Failure(f"{name} has no running task.", next=status, code=ExitCode.UNHEALTHY)
    return task
