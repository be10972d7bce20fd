"""After the start: what answers at the addresses we are about to print is this stack, and all of it is healthy."""

from __future__ import annotations

from msgspec import structs

from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import StepReport
from stackhand.local.engines import health, overview
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceStatus
from stackhand.local.reports import PathPart, StartedService, UpReport
from stackhand.system import waiting

POLL = 0.05
"""Seconds between two questions for the overall health."""


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
    """Wait until the overall health is `pass`, where a service of the stack reports it.

    A component that starts after the service that watches it was looked at before it could answer.

    Args:
        engine: whose stack.
        timeout: seconds to wait.

    Raises:
        Failure: it is not `pass` in time; the components that are not are named.
    """
    for name, url in overview.urls(engine).items():
        for _ in waiting.polls(timeout, POLL):
            if not (lines := overview.problems(url)):
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
    return not any(overview.problems(url) for url in overview.urls(engine).values())


def report(engine: Engine, services: list[ServiceStatus], started: list[StepReport]) -> UpReport:
    """Return the document of `up --json` (docs/output.md), as far as the playbook knows it."""
    seconds = {step.name: step.seconds or 0.0 for step in started}
    after = {step.name: list(step.after) for step in started}
    return UpReport(
        engine.stack.name,
        engine.name,
        [
            StartedService(**structs.asdict(status.report()), seconds=round(seconds.get(status.name, 0.0), 2))
            for status in services
        ],
        engine.unsupported(),
        [PathPart(name, round(seconds[name], 2)) for name in slowest_path(seconds, after)],
    )


def slowest_path(seconds: dict[str, float], after: dict[str, list[str]]) -> list[str]:
    """Return the chain of services, each waiting for the one before, that took longest altogether.

    Args:
        seconds: what each service took by itself.
        after: the services each had to wait for.
    """
    paths: dict[str, list[str]] = {}

    def length(names: list[str]) -> tuple[float, int]:
        return sum(seconds[each] for each in names), len(names)

    def path(name: str) -> list[str]:
        if name not in paths:
            before = [path(needed) for needed in after.get(name, []) if needed in seconds]
            longest = max(before, key=length, default=[])
            paths[name] = [*longest, name]
        return paths[name]

    return max((path(name) for name in seconds), key=length, default=[])


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
