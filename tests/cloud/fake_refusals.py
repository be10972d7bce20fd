"""How an ECS of our own says no, and what it refuses of task definitions."""

from __future__ import annotations

from typing import Any


class Refused(Exception):  # noqa: N818 - as AWS does
    """AWS says no."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Accepted(Refused):
    """AWS says yes, before it says no to the next call."""

    def __init__(self) -> None:
        super().__init__("")


class Lost(Refused):
    """AWS does it, and its answer does not arrive."""

    def __init__(self) -> None:
        super().__init__("ServerException", "its answer was lost", 500)


def require_port(definition: dict[str, Any], balancer: dict[str, Any]) -> None:
    """Refuse a port that the definition does not have, as ECS does; of a definition that was there before, too."""
    container, port = balancer["containerName"], balancer["containerPort"]
    found = next((each for each in definition["containerDefinitions"] if each["name"] == container), {})
    if port not in [each["containerPort"] for each in found.get("portMappings", [])]:
        raise Refused(
            "InvalidParameterException", f"The container {container} did not have a container port {port} defined."
        )


def require_port_names(definition: dict[str, Any], connection: dict[str, Any]) -> None:
    """Refuse the name of a port that the definition does not have, as ECS does."""
    ports = [port for each in definition["containerDefinitions"] for port in each.get("portMappings", [])]
    for each in connection.get("services", []) if connection.get("enabled") else []:
        if each["portName"] not in [port.get("name") for port in ports]:
            raise Refused("InvalidParameterException", f"portName {each['portName']} is not in the task definition.")
