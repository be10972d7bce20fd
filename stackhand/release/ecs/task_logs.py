"""The logs of tasks in CloudWatch: the end of one task's, what it adds, and the lines of a service."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stackhand.aws.errors import code_of, transient
from stackhand.release.target import TaskTarget, short

TAIL = 30

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
    task: str
    text: str
    number: str = ""


def stream(service: TaskTarget, container: str, task: str) -> str:
    """Return the log stream of a container of a task, given by ARN or id."""
    return f"{service.log_stream_prefix}/{container}/{short(task)}"


def tail(logs: Any, service: TaskTarget, container: str, task: str) -> list[str]:
    """Return the last lines of one container of one task; nothing when it never wrote any."""
    try:
        answer = logs.get_log_events(
            logGroupName=service.log_group,
            logStreamName=stream(service, container, task),
            limit=TAIL,
            startFromHead=False,
        )
    except Exception as error:
        if code_of(error) == "ResourceNotFoundException":
            return []
        if transient(error) or code_of(error) == "AccessDeniedException":
            return [f"(its log cannot be read: {code_of(error) or error})"]
        raise
    return [str(each["message"]).rstrip("\n") for each in answer["events"]][-TAIL:]


class LogFollower:
    """Reads what one container of one task adds to its log.

    Args:
        task: ARN or id.
    """

    def __init__(self, logs: Any, service: TaskTarget, container: str, task: str) -> None:
        self.logs, self.service = logs, service
        self.stream = stream(service, container, task)
        self.token: str | None = None
        self._reported = ""

    def new_lines(self) -> list[str]:
        """Return what was added since the last call; nothing while there is no log yet.

        A log that cannot be read is reported once: whoever follows it waits for something else.
        """
        position: dict[str, Any] = {"nextToken": self.token} if self.token else {"startFromHead": True}
        try:
            answer = self.logs.get_log_events(
                logGroupName=self.service.log_group, logStreamName=self.stream, **position
            )
        except Exception as error:
            code = code_of(error)
            if code == "ResourceNotFoundException" or transient(error) or self._reported:
                return []
            self._reported = f"(its log cannot be read: {code or error})"
            return [self._reported]
        self.token = answer.get("nextForwardToken", self.token)
        return [str(each["message"]).rstrip("\n") for each in answer["events"]]


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
            task = str(each.get("logStreamName", "")).rpartition("/")[2]
            yield LogLine(
                int(each["timestamp"]), name, task, str(each["message"]).rstrip("\n"), str(each.get("eventId"))
            )


def together(parts: Iterable[Iterable[LogLine]]) -> list[LogLine]:
    """Return the lines of several services in the order of their times."""
    return sorted((line for part in parts for line in part), key=lambda line: line.at)
