"""Watch containers start: which of them can be used by now, and which never will."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers.listing import Container
from stackhand.local.engines import health
from stackhand.local.engines.compose import containers, failures, status
from stackhand.local.engines.status import Started
from stackhand.project.stack.model import Service

POLL = 0.1
"""Seconds between two looks."""

Look = Callable[[], Mapping[str, Sequence[Container]]]


def generations(containers: Mapping[str, Sequence[Container]]) -> set[str]:
    """Return what tells these containers, as they run now, from any that are made or started later."""
    return {_generation(container) for each in containers.values() for container in each}


def watch(
    services: Collection[Service],
    look: Look,
    timeout: float,
    *,
    before: Collection[str] = (),
    dispensable: Collection[str] = (),
    at_work: Callable[[], bool] = lambda: False,
) -> Iterator[Started]:
    """Yield services as soon as they can be used, until all can.

    Args:
        services: which to wait for.
        look: returns the current containers by service.
        timeout: seconds to wait for all of them.
        before: the generations of before the start. While `at_work`, what is still of that time is not looked at:
            it may be replaced in a moment.
        dispensable: services without which the others start all the same: their failure is raised at the end.
        at_work: whether Compose is still making and starting containers.

    Raises:
        Failure: one stopped, is unhealthy or did not become healthy in time; its last check and lines are the
            evidence.
    """
    deadline = time.monotonic() + timeout
    waiting = {service.name: service for service in services}
    needed = {name for service in services for name in service.depends_on}
    seen: dict[str, float] = {}
    failed: list[Failure] = []
    while waiting:
        busy, containers = at_work(), look()
        for name, service in list(waiting.items()):
            all_of = containers.get(name, ())
            if len(all_of) < service.replicas or (busy and _may_be_replaced(all_of, service, before)):
                continue
            try:
                passed = [_started(service, each, needed=name in needed, before=before, seen=seen) for each in all_of]
            except Failure as failure:
                if name not in dispensable:
                    raise
                failed.append(failure)
                del waiting[name]
                continue
            if started := _together(passed):
                del waiting[name]
                yield started
        if waiting and time.monotonic() > deadline:
            raise _too_late(_culprit(list(waiting.values()), containers), containers, timeout)
        if waiting:
            time.sleep(POLL)
    if failed:
        raise failed[0]


def _may_be_replaced(all_of: Sequence[Container], service: Service, before: Collection[str]) -> bool:
    return len(all_of) > service.replicas or any(_generation(each) in before for each in all_of)


def _together(passed: Sequence[Started | None]) -> Started | None:
    """Return how the start of a service's containers went, if all of them can be used."""
    if not passed or None in passed:
        return None
    slowest = max(filter(None, passed), key=lambda each: each.seconds)
    slowest.changed = any(each.changed for each in passed if each)
    slowest.message += f" ({len(passed)} containers)" if len(passed) > 1 else ""
    return slowest


def _started(
    service: Service, container: Container, *, needed: bool, before: Collection[str], seen: dict[str, float]
) -> Started | None:
    first = seen.setdefault(_generation(container), time.monotonic())
    if started := _passed(service, container, needed=needed, seen=first):
        started.changed = not _was_there(container, before, job=service.job)
        started.seconds = started.seconds if started.changed else 0.0  # it took them some other day
    return started


def _passed(service: Service, container: Container, *, needed: bool, seen: float) -> Started | None:
    """Return how a service's start went, if it can be used by now; `seen` is when it was first seen running.

    Its own health check must have passed where another service waits for that; else an answer from its address says
    more, and half a second sooner. Where there is nothing to ask, it must have stayed up for a moment.
    """
    seconds, after = containers.seconds_to_health(container), list(service.depends_on)
    state = container["State"]
    if containers.exited(container) and state["Status"] != "created":
        if service.may_finish and state["ExitCode"] == 0:
            return Started(service.name, changed=True, message="done", seconds=seconds, address="", after=after)
        raise failures.failure(service.name, container, _fate(service, container))
    well = state.get("Health", {}).get("Status") == "healthy"  # then its crashes are of the past
    if container.get("RestartCount", 0) >= containers.CRASHES and not well:
        again = state["Status"] == "running"  # for a moment: the exit code of its end is gone
        how = "" if again else f": {containers.summary(container)}"
        what = f"stopped while it started, {container['RestartCount'] + 1} times{how}"
        raise failures.failure(service.name, container, what)
    if state["Status"] == "running" and state.get("Health", {}).get("Status") == "unhealthy":
        raise failures.failure(service.name, container, "did not become healthy")
    service = containers.bound(service, container)
    question = health.question(service)
    early = question.kind in {"http", "inside"} and state["Status"] == "running" and not needed
    if service.job or not (early or containers.healthy(container)):
        return None
    answer = status.answer(container, question)
    proves_little = question.kind in {"process", "tcp"} and "Health" not in state  # docker itself opens the port
    if not answer.healthy or (proves_little and not _stayed(container, seen)):
        return None
    return Started(service.name, True, answer.message, seconds, health.address(service), after)


def _fate(service: Service, container: Container) -> str:
    if service.job:
        return f"failed ({containers.summary(container)}), and nothing that waits for it was started"
    return f"stopped while it started: {containers.summary(container)}"


def _stayed(container: Container, seen: float) -> bool:
    """Whether it has stayed up long enough, by its engine's clock or by ours: that of another machine may go wrong."""
    age = time.time() - (containers.since(container) or time.time())
    return max(age, time.monotonic() - seen) >= health.UP_AFTER


def _culprit(waiting: Sequence[Service], watched: Mapping[str, Sequence[Container]]) -> Service:
    """Return the first service that is not well; the others may only wait for Compose to be done."""
    ill = (each for each in waiting if each.job or not _well(watched.get(each.name, ())))
    return next(ill, waiting[0])


def _well(all_of: Sequence[Container]) -> bool:
    return bool(all_of) and all(map(containers.healthy, all_of))


def _too_late(service: Service, watched: Mapping[str, Sequence[Container]], timeout: float) -> Failure:
    all_of = watched.get(service.name)
    container = containers.worst(all_of) if all_of else None
    if container is None:
        return Failure(
            f"{service.name} had no container after {timeout:g} s.", next="./inv up", code=ExitCode.UNHEALTHY
        )
    if service.job and container["State"]["Status"] == "running":
        return failures.failure(service.name, container, f"did not finish within {timeout:g} s")
    answer = status.answer(container, health.question(containers.bound(service, container)))
    output = containers.summary(container) if answer.healthy else answer.message
    return failures.failure(service.name, container, f"did not become healthy in time: {output}")


def _was_there(container: Container, before: Collection[str], *, job: bool) -> bool:
    """Whether it is of before the start; a job's container that runs once more has changed nothing of the stack."""
    return any(each.startswith(container["Id"]) for each in before) if job else _generation(container) in before


def _generation(container: Container) -> str:
    return f"{container['Id']} {container['State']['StartedAt']}"
