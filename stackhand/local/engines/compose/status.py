"""How a container is, and what the service in it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from msgspec import structs

from stackhand.containers.listing import Container
from stackhand.local.engines import health
from stackhand.local.engines.compose import containers, gate
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.memory import HealthQuestion, Served
from stackhand.project.stack.model import Service

WORDS = {"created": "stopped", "restarting": "starting"}
"""Our words for a container's states, where they are not `failed`."""


def served(service: Service) -> Served:
    """Return what must be remembered of a service to tell its status when its file has changed.

    A port that the engine chooses is 0 here, and `target` names what it is chosen for.
    """
    main = service.main_port
    target = f"{main.target}/{main.protocol}" if main and main.published is None else ""
    if target:
        ports = (structs.replace(each, published=0) if each is main else each for each in service.ports)
        service = structs.replace(service, ports=tuple(ports))
    return Served(
        question=health.question(service),
        address=health.address(service),
        ports=[port.published for port in service.ports if port.published],
        may_finish=service.may_finish,
        replicas=service.replicas,
        target=target,
    )


def of(name: str, replicas: Sequence[Container], remembered: Served) -> ServiceStatus:
    """Return how a service is: of several containers, how that is which is worst off.

    Args:
        name: the service.
        replicas: what runs it.
        remembered: what `served` returned when it was started.
    """
    status = _of(name, containers.worst(replicas) if replicas else None, remembered)
    status, wanted = replace(status, published=containers.links(replicas)), remembered.replicas
    if len(replicas) == wanted == 1 or not replicas or status.state == "done":
        return status
    running = sum(each["State"]["Status"] == "running" for each in replicas)
    state = "failed" if status.healthy and running < wanted else status.state
    return replace(status, state=state, answer=f"{status.answer} ({running} of {wanted} containers run)")


def late(name: str, replicas: Sequence[Container], remembered: Served) -> ServiceStatus:
    """Return the status of a service that has not answered in time; the arguments are those of `of`."""
    why = containers.halted(containers.worst(replicas)) if replicas else ""
    return ServiceStatus.late(name, remembered.address, [], why)


def _of(name: str, container: Container | None, remembered: Served) -> ServiceStatus:
    remembered = bound(remembered, container)
    address, ports = remembered.address, remembered.ports
    if container is None:
        return ServiceStatus(name, "stopped", "not running", address, ports)
    if container["State"]["Status"] not in {"running", "paused"}:
        ended = _ended(container, may_finish=remembered.may_finish)
        return ServiceStatus(name, ended, containers.summary(container), address, ports)
    state, question = container["State"], remembered.question
    answer = containers.answer(container, question)
    checked = state.get("Health", {}).get("Status")
    halted = containers.halted(container) if not answer.healthy or question.kind == "process" else ""
    ill = bool(halted) or not answer.healthy or checked == "unhealthy"
    output = containers.summary(container) if ill and answer.healthy and not halted else answer.message
    if halted:
        output = halted if answer.healthy else f"{output}: {halted}"
    waits = checked == "starting" and question.kind == "process" and not halted
    return ServiceStatus(
        name,
        "starting" if waits else "unhealthy" if ill else "healthy",
        output,
        address,
        ports,
        milliseconds=answer.milliseconds,
        pid=state["Pid"] or None,
        since=containers.since(container),
    )


def bound(remembered: Served, container: Container | None) -> Served:
    """Return what is remembered with the port that the engine has chosen now, which changes with each start."""
    if not remembered.target:
        return remembered
    port = containers.chosen(remembered.target, container) if container else None
    if port is None:
        return structs.replace(remembered, question=HealthQuestion(), address="")
    question = remembered.question
    if question.kind == "http":
        question = HealthQuestion("http", url=question.url.replace(":0/", f":{port}/", 1))
    elif question.kind != "process":
        question = structs.replace(question, port=port)
    address = f"{remembered.address.removesuffix(':0')}:{port}"
    return structs.replace(remembered, question=question, address=address, ports=[*remembered.ports, port])


def _ended(container: Container, *, may_finish: bool) -> str:
    state = container["State"]
    if may_finish and state["Status"] == "exited" and state["ExitCode"] == 0:
        return "done"
    if container["RestartCount"] >= gate.CRASHES:
        return "failed"
    return WORDS.get(state["Status"], "failed")
