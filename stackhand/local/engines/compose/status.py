"""How a container is, and what the service in it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackhand.local.engines import health
from stackhand.local.engines.compose import containers, gate
from stackhand.local.engines.compose.containers import Container
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.model import Service

WORDS = {"created": "stopped", "restarting": "starting"}
"""Our words for a container's states, where they are not `failed`."""


def served(service: Service) -> dict[str, Any]:
    """Return what must be remembered of a service to tell its status when its file has changed."""
    return {
        "question": health.question(service),
        "address": health.address(service),
        "ports": [port.published for port in service.ports],
        "may_finish": service.may_finish,
    }


def of(name: str, container: Container | None, remembered: Mapping[str, Any]) -> ServiceStatus:
    """Return how a service is.

    Args:
        name: the service.
        container: what runs it, if there is one.
        remembered: what `served` returned when it was started.
    """
    address, ports = str(remembered.get("address", "")), list(remembered.get("ports", []))
    if container is None:
        return ServiceStatus(name, "stopped", "not running", address, ports)
    if container["State"]["Status"] not in {"running", "paused"}:
        may_finish = bool(remembered.get("may_finish"))
        return ServiceStatus(
            name, _ended(container, may_finish=may_finish), containers.summary(container), address, ports
        )
    state, question = container["State"], remembered.get("question", {"kind": "process"})
    answer = containers.answer(container, question)
    checked = state.get("Health", {}).get("Status")
    halted = containers.halted(container) if not answer.healthy or question["kind"] == "process" else ""
    ill = bool(halted) or not answer.healthy or checked == "unhealthy"
    output = containers.summary(container) if ill and answer.healthy and not halted else answer.message
    if halted:
        output = halted if answer.healthy else f"{output}: {halted}"
    waits = checked == "starting" and question["kind"] == "process" and not halted
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


def _ended(container: Container, *, may_finish: bool) -> str:
    state = container["State"]
    if may_finish and state["Status"] == "exited" and state["ExitCode"] == 0:
        return "done"
    if container["RestartCount"] >= gate.CRASHES:
        return "failed"
    return WORDS.get(state["Status"], "failed")
