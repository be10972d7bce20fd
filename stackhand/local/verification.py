"""After the start: what answers at the addresses we are about to print is this stack, and all of it is healthy.

That is what the services say that watch others, as `/health/all` does in draft-inadarei-api-health-check: a service
may be healthy while another one cannot reach it.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from http.client import HTTPException
from typing import Any

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import StepReport
from stackhand.local.engines import health
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceReport, ServiceStatus
from stackhand.project.stack.model import TARGETS
from stackhand.system import http, waiting

POLL = 0.05
"""Seconds between two questions for the overall health."""
PATH = "/health/all"
BODY_LIMIT = 16 * 1024 * 1024


class StartedService(ServiceReport, frozen=True):
    """A service that `up` has started, or found, and the seconds that took."""

    seconds: float


class PathPart(msgspec.Struct, frozen=True):
    """A service on the slowest path of a start."""

    name: str
    seconds: float


class UpReport(msgspec.Struct, frozen=True):
    """The document of `up --json` (docs/output.md), as far as the playbook knows it."""

    stack: str
    engine: str
    services: list[StartedService]
    unsupported: list[str]
    slowest_path: list[PathPart]


class _Component(msgspec.Struct):
    """What a service says of one that it watches."""

    status: Any
    output: Any = None


class _Overview(msgspec.Struct):
    """What it says of all of them."""

    checks: dict[str, list[_Component]]
    status: Any = None


def verify(engine: Engine) -> list[ServiceStatus]:
    """Ask every service once more, at its printed address, and look who listens there.

    Returns:
        How each service is.

    Raises:
        Failure: one is not healthy any more, or something else answers in its place.
    """
    engine.stay_up()
    services = engine.status()
    listeners = engine.listeners()
    for status in services:
        if not status.healthy:
            raise Failure(
                f"{status.name} was healthy, then failed: {status.answer}.",
                next=f"./inv logs {status.name}",
                code=ExitCode.UNHEALTHY,
            )
        foreign = sorted(set(status.ports) - listeners.get(status.name, set())) if status.state != "done" else []
        if foreign:
            raise Failure(
                f"Another process, not {status.name} of this stack, listens at port {foreign[0]}.",
                evidence=[engine.holder(foreign[0])],
                next="./inv up --free-ports",
                code=ExitCode.PORT_TAKEN,
            )
        _same_stack(engine, status)
    return services


def await_pass(engine: Engine, timeout: float) -> None:
    """Wait so many seconds until the overall health is `pass`, where a service of the stack reports it.

    A component that starts after the service that watches it was looked at before it could answer.

    Raises:
        Failure: it is not `pass` in time; the components that are not are named.
    """
    for name, url in _overviews(engine).items():
        for _ in waiting.polls(timeout, POLL):
            if not (lines := _problems(url)):
                break
        else:
            raise Failure(
                f"All services are healthy, but {name} does not report it: {lines[0]}.",
                evidence=[url, *lines],
                next=f"./inv logs {name}",
                code=ExitCode.UNHEALTHY,
            )


def passes(engine: Engine) -> bool:
    """Whether the overall health is `pass` now, or is not reported at all."""
    return not any(map(_problems, _overviews(engine).values()))


def _overviews(engine: Engine) -> dict[str, str]:
    """Return where the overall health of a stack is reported, by service; one that the engine leaves out is silent.

    Whoever has HEALTH_TARGETS, which is computed, watches the others, whatever it is called.
    """
    services = {name: engine.stack.services[name] for name in engine.services()}
    return {
        name: f"http://127.0.0.1:{each.port}{PATH}"
        for name, each in services.items()
        if each.port and TARGETS in each.environment
    }


def _problems(url: str) -> list[str]:
    """Return what keeps the overall health from being `pass`, a line each; none where it is not reported at all."""
    try:
        response = http.get(url, timeout=health.ANSWER_WITHIN, limit=BODY_LIMIT)
    except (OSError, HTTPException) as error:
        return [f"{url}: {str(error).lower() or type(error).__name__}"]
    try:
        overview = msgspec.convert(response.json(), type=_Overview)  # by Python's reader, which takes NaN
    except ValueError:
        return []  # an API of your own: 404, or a page
    if overview.status == "pass":
        return []
    lines = [
        f"{name} has the status {each.status}" + (f": {each.output}" if each.output else "")
        for name, components in overview.checks.items()
        for each in components
        if each.status != "pass"
    ]
    return lines or [f"{url} answers {response.status}: {overview.status}"]


def report(engine: Engine, services: list[ServiceStatus], started: list[StepReport]) -> UpReport:
    """Return what a start comes to."""
    seconds = {step.name: step.seconds or 0.0 for step in started}
    after = {step.name: list(step.after) for step in started}
    return UpReport(
        engine.stack.name,
        engine.name,
        [
            StartedService(**msgspec.structs.asdict(status.report()), seconds=round(seconds.get(status.name, 0.0), 2))
            for status in services
        ],
        engine.unsupported(),
        [PathPart(name, round(seconds[name], 2)) for name in slowest_path(seconds, after)],
    )


def slowest_path(seconds: dict[str, float], after: dict[str, list[str]]) -> list[str]:
    """Return the chain of services, each `after` the one before, whose own `seconds` are most altogether."""
    needs = {name: [each for each in after.get(name, []) if each in seconds] for name in seconds}
    paths: dict[str, list[str]] = {}

    def length(names: list[str]) -> tuple[float, int]:
        return sum(seconds[each] for each in names), len(names)

    for name in TopologicalSorter(needs).static_order():
        paths[name] = [*max((paths[each] for each in needs[name]), key=length, default=[]), name]
    return max((paths[name] for name in seconds), key=length, default=[])


def _same_stack(engine: Engine, status: ServiceStatus) -> None:
    """A service that says which stack it is of (header X-Stack) must say this one."""
    question = engine.question(status.name)
    if question.kind != "http":
        return
    answer = health.ask(question)
    name = engine.stack.name
    if answer.stack is not None and answer.stack != name:
        raise Failure(
            f"The stack {answer.stack!r}, not {name!r}, answers at {status.address}.",
            next="./inv up --free-ports",
            code=ExitCode.PORT_TAKEN,
        )
