"""The container engine's own API at its local socket: for what is asked again and again while a stack starts.

A question costs 1 ms here and 20 by the docker command, which knows everything else: contexts, other machines, TLS.
https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

DEFAULT_HOST = "unix:///var/run/docker.sock"
ANSWER_WITHIN = 20.0


class Refused(http.client.HTTPException):
    """The engine answered, and not what was asked for."""


class _Local(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_WITHIN)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of a TCP port."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def local_socket() -> str | None:
    """Return the path of the socket that the docker command would ask; None when it would ask elsewhere."""
    host = os.environ.get("DOCKER_HOST")
    if not host:
        context = os.environ.get("DOCKER_CONTEXT") or configuration().get("currentContext") or "default"
        host = DEFAULT_HOST if context == "default" else ""
    return host.removeprefix("unix://") if host.startswith("unix://") else None


def listed(path: str, project: str) -> list[str]:
    """Return the ids of a Compose project's containers, running or not.

    Args:
        path: the socket.
        project: its name.

    Raises:
        OSError: nobody answers, or not in time.
        http.client.HTTPException: what answers does not speak HTTP.
    """
    filters = quote(json.dumps({"label": [f"com.docker.compose.project={project}"]}))
    return [str(each["Id"]) for each in _get(path, f"/containers/json?all=true&filters={filters}")]


def inspect(path: str, identity: str) -> dict[str, Any] | None:
    """Return what the engine knows of a container; None when it is gone. Raises as `listed` does."""
    found = _get(path, f"/containers/{identity}/json", may_be_gone=True)
    return dict(found) if found else None


def volume_usage(path: str) -> list[dict[str, Any]]:
    """Return all volumes with the bytes in them (`UsageData`). Raises as `listed` does."""
    return list(_get(path, "/system/df?type=volume").get("Volumes") or [])


def _get(path: str, target: str, *, may_be_gone: bool = False) -> Any:
    connection = _Local(path)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status == http.client.NOT_FOUND and may_be_gone:
        return None
    if response.status != http.client.OK:
        raise Refused(f"{response.status} {body[:200].decode(errors='replace')}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise Refused(f"no JSON: {body[:200].decode(errors='replace')}") from error


def configuration() -> dict[str, Any]:
    """Return the settings of the docker command, from its `config.json`."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
