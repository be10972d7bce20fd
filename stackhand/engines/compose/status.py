"""How a container is, and what the service in it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackhand.engines import health
from stackhand.engines.compose import containers, gate
from stackhand.engines.compose.containers import Container
from stackhand.engines.status import ServiceStatus
from stackhand.model import Service

WORDS = {"created": "stopped", "restarting": "starting"}
"""Our words for a container's states, where they are not `failed`."""


def served(service: Service) -> dict[str, Any]:
    """Return what must be remembered of a service to tell its status when its file has changed."""
    return {
        "question": health.question(service),
        "address": health.address(service),
        "ports": [port.published for port in service.ports],
        "one_shot": service.one_shot,
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
        one_shot = bool(remembered.get("one_shot"))
        return ServiceStatus(name, _ended(container, one_shot=one_shot), containers.words(container), address, ports)
    state = container["State"]
    answer = health.ask(remembered.get("question", {"kind": "process"}))
    ill = not answer.healthy or state.get("Health", {}).get("Status") == "unhealthy"
    return ServiceStatus(
        name,
        "unhealthy" if ill else "healthy",
        containers.words(container) if ill and answer.healthy else answer.words,
        address,
        ports,
        milliseconds=answer.milliseconds,
        pid=state["Pid"] or None,
        since=containers.since(container),
    )


def _ended(container: Container, *, one_shot: bool) -> str:
    if container["RestartCount"] >= gate.CRASHES:
        return "failed"
    state = container["State"]
    if one_shot and state["Status"] == "exited" and state["ExitCode"] == 0:
        return "done"
    return WORDS.get(state["Status"], "failed")
