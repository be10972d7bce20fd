"""Why a release failed, on one screen and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackhand import ROOT, redaction
from stackhand.aws.errors import message_of
from stackhand.project.environments import Environment
from stackhand.project.state import State
from stackhand.release import logs, stopped
from stackhand.release.rollout import Rolling
from stackhand.release.stopped import Stopped
from stackhand.release.target import Service, Target
from stackhand.release.targets import Targets

EVENTS = 5


@dataclass
class Part:
    """What there is to say of one service that failed.

    Args:
        name: of the service.
        words: its verdict.
        events: of ECS since the order, oldest first.
        tasks: that stopped, newest first.
        health: of its targets at the load balancer.
        log: the last lines of the newest task.
        hint: the one thing to look at first.
    """

    name: str
    words: str
    events: list[str] = field(default_factory=list)
    tasks: list[Stopped] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    hint: str = ""

    def lines(self, log: int = logs.TAIL) -> list[str]:
        """Return it as lines, the most telling last, with so many lines of its log."""
        shown = self.log[-log:]
        found = [f"{self.name}: {self.words}"]
        found += [f"  event: {message}" for message in self.events[-EVENTS:]]
        found += [f"  {line}" for task in self.tasks for line in task.words()]
        found += [f"  target {line}" for line in self.health]
        if shown:
            found += [f"  its last {len(shown)} log lines:", *(f"    {line}" for line in shown)]
        return found + ([f"  hint: {self.hint}"] if self.hint else [])


class Collector:
    """Asks AWS what there is to know of a service that failed; what cannot be asked is said, and stops nothing.

    Args:
        environment: where.
        target: Terraform's output.
    """

    def __init__(self, environment: Environment, target: Target) -> None:
        self.target = target
        self.ecs = environment.client("ecs")
        self.targets = Targets(environment.client("elbv2"), target)
        self.cloudwatch = environment.client("logs")

    def collect(self, rolling: Rolling) -> Part:
        """Return what there is to say of a service."""
        service = self.target.services[rolling.name]
        part = Part(rolling.name, rolling.refused or _words(rolling))
        part.events = rolling.events()
        part.tasks = self._try(part, "stopped tasks", lambda: self._tasks(rolling)) or []
        part.health = self._try(part, "target health", lambda: self.targets.troubles(service)) or []
        part.log = self._try(part, "log", lambda: self._log(service, part.tasks)) or []
        part.hint = stopped.hint(part.tasks, [*part.events, *part.health, *part.log, part.words])
        return part

    def _tasks(self, rolling: Rolling) -> list[Stopped]:
        return stopped.newest(self.ecs, self.target.cluster, rolling.service, rolling.order)

    def _log(self, service: Service, tasks: Sequence[Stopped]) -> list[str]:
        for task in tasks:
            lines = logs.tail(self.cloudwatch, service, service.container, task.id)
            if lines:
                return lines
        return []

    def _try(self, part: Part, what: str, ask: Any) -> Any:
        try:
            return ask()
        except Exception as error:  # whatever AWS refuses: the report is about something else
            part.events.append(f"({what} cannot be read: {message_of(error)})")
            return None


def screen(parts: Sequence[Part]) -> list[str]:
    """Return several services' parts as one screen: they share the room for log lines."""
    share = logs.TAIL // max(1, len(parts))
    return [line for part in parts for line in part.lines(share)]


def keep(release: str, lines: Sequence[str]) -> Path:
    """Write a report below .stackhand/logs, and return its path."""
    state = State(ROOT)
    state.make()
    path = state.logs / f"release-{release}.txt"
    path.write_text("\n".join(redaction.current().lines(lines)) + "\n", encoding="utf-8")
    return path.relative_to(ROOT)


def _words(rolling: Rolling) -> str:
    """Say how its rollout ended, in ECS's words where it has some."""
    ours = rolling.seen[-1].deployment(rolling.order.deployment) if rolling.seen else None
    words = str(rolling.verdict or ("failed" if rolling.failing else "still rolling")).replace("_", " ")
    if ours is None:
        return words
    return f"{words}, {ours.failed} failed tasks{f': {ours.reason}' if ours.reason else ''}"
