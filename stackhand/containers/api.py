"""The container engine's own API at its local socket: for what is asked again and again while a stack starts.

A question costs 1 ms here and 20 by the docker command, which knows everything else: contexts, other machines, TLS.
https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

UNIX = "unix://"
LOCAL = (UNIX, "npipe://", "fd://")
DEFAULT_HOST = f"{UNIX}/var/run/docker.sock"
ANSWER_WITHIN = 20.0
VACANT_WITHIN = 1.0


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


def context() -> str:
    """Return the context of the docker command that is in force; nothing for the default one."""
    name = os.environ.get("DOCKER_CONTEXT") or str(configuration().get("currentContext") or "")
    return "" if name == "default" or os.environ.get("DOCKER_HOST") else name


def address() -> str:
    """Return the address that the docker command would ask; nothing where its context is not to be found."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    if not (name := context()):
        return DEFAULT_HOST
    settings = _settings("contexts", "meta", hashlib.sha256(name.encode()).hexdigest(), "meta.json")
    return str(settings.get("Endpoints", {}).get("docker", {}).get("Host") or "")


def switch() -> str:
    """Return the command after which docker asks the engine of this machine."""
    if os.environ.get("DOCKER_HOST"):
        return "unset DOCKER_HOST"
    return "unset DOCKER_CONTEXT" if os.environ.get("DOCKER_CONTEXT") else "docker context use default"


def is_remote(host: str) -> bool:
    """Whether an address is reached by a network, and may be as slow as one."""
    return bool(host) and not host.startswith(LOCAL)


def is_vacant(host: str) -> bool:
    """Whether an address is a socket of this machine at which no process listens."""
    if not host.startswith(UNIX):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(VACANT_WITHIN)
        try:
            probe.connect(host.removeprefix(UNIX))
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except (OSError, ValueError):  # it may not be used, or is slow; or no path
            return False
        return False


def local_socket(host: str = "") -> str | None:
    """Return the path of the socket at an address, or else of the one that the docker command would ask.

    None when that is elsewhere.
    """
    host = host or address()
    return host.removeprefix(UNIX) if host.startswith(UNIX) else None


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
    container = _get(path, f"/containers/{identity}/json", may_be_gone=True)
    return dict(container) if container else None


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
        raise Refused(f"not JSON: {body[:200].decode(errors='replace')}") from error


def folder() -> Path | None:
    """Return the folder of the docker command's settings; None for an account without a home, or without a name."""
    named = os.environ.get("DOCKER_CONFIG")
    try:
        return Path(named) if named else Path.home() / ".docker"
    except RuntimeError:
        return None


def configuration() -> dict[str, Any]:
    """Return the settings of the docker command, from its `config.json`."""
    return _settings("config.json")


def _settings(*path: str) -> dict[str, Any]:
    place = folder()
    try:
        content = json.loads(place.joinpath(*path).read_text(encoding="utf-8")) if place else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
