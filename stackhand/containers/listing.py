"""What the container engine has: the containers of a project, by name or at a port, and the sizes of volumes.

What is asked again and again while a stack starts goes to the engine's own API at its local socket. A question costs
1 ms there and 20 by the docker command, which knows everything else: contexts, other machines, TLS.
https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import NOT_FOUND, OK, HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from stackhand.cli.failure import Failure
from stackhand.containers import endpoint
from stackhand.containers.docker import NOT_THERE, answer_within, run
from stackhand.containers.endpoint import Unavailable

ANSWER_WITHIN = 20.0

Container = dict[str, Any]  # what `docker container inspect` says


class _Local(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_WITHIN)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of a TCP port."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def inspect(names: Sequence[str]) -> dict[str, Container]:
    """Return what the engine knows of containers, by their names; those that do not exist are left out."""
    if not names:
        return {}
    described = json.loads(run("container", "inspect", *names, accept=NOT_THERE).stdout or "[]")
    return {str(each["Name"]).lstrip("/"): each for each in described}


def listed(project: str, host: str = "") -> list[str]:
    """Return the ids of a Compose project's containers, running or not, at the host in force or at another one.

    Raises:
        Unavailable: the engine cannot be asked.
    """
    label = f"com.docker.compose.project={project}"
    if path := endpoint.local_socket(host):
        filters = quote(json.dumps({"label": [label]}))
        return [str(each["Id"]) for each in _get(path, f"/containers/json?all=true&filters={filters}")]
    return run("ps", "--all", "--quiet", "--filter", f"label={label}", host=host).stdout.split()


def containers(project: str) -> dict[str, list[Container]]:
    """Return the containers of a Compose project, running or not, by the names of their services, in their order.

    Raises:
        Unavailable: the engine cannot be asked.
    """
    path, identities = endpoint.local_socket(), listed(project)
    if path:
        described = [_get(path, f"/containers/{each}/json", may_be_gone=True) for each in identities]
    else:
        described = list(inspect(identities).values())
    labelled = [(each["Config"]["Labels"], each) for each in described if each]
    services: dict[str, list[Container]] = {}
    for labels, each in sorted(labelled, key=lambda pair: int(pair[0].get("com.docker.compose.container-number", 1))):
        if labels.get("com.docker.compose.oneoff") != "True":  # a command that is run beside the service
            services.setdefault(str(labels["com.docker.compose.service"]), []).append(each)
    return services


def volume_usage() -> list[dict[str, Any]]:
    """Return all volumes with the bytes in them (`UsageData`); nothing where the engine has no socket here.

    Raises:
        Unavailable: the engine cannot be asked.
    """
    path = endpoint.local_socket()
    return list(_get(path, "/system/df?type=volume").get("Volumes") or []) if path else []


def _get(path: str, target: str, *, may_be_gone: bool = False) -> Any:
    """Return what the engine at a socket answers; None for a container that is gone."""
    with _telling_unavailable(path), closing(_Local(path)) as connection:
        connection.request("GET", target)
        response = connection.getresponse()
        body = response.read()
    if response.status == NOT_FOUND and may_be_gone:
        return None
    text = body[:200].decode(errors="replace")
    if response.status != OK:
        raise Unavailable(f"{path} answered: {response.status} {text}", f"unix://{path}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise Unavailable(f"{path} answered: not JSON: {text}", f"unix://{path}") from error


@contextmanager
def _telling_unavailable(path: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"no answer within {ANSWER_WITHIN:g} s", f"unix://{path}") from error
    except PermissionError as error:
        raise Unavailable(f"permission denied while trying to connect to unix://{path}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(f"Cannot connect to the Docker daemon at unix://{path}: {error}") from error
    except (OSError, HTTPException) as error:
        raise Unavailable(f"error during connect: {error or type(error).__name__}", f"unix://{path}") from error


def publisher(port: int) -> str | None:
    """Return in words which container publishes a port of this machine, if any is known to: for a sentence only."""
    try:
        result = run("ps", "--filter", f"publish={port}", "--format", "{{json .}}", timeout=answer_within())
    except Failure:
        return None
    for line in result.stdout.splitlines():
        container = json.loads(line)
        project = re.search(r"com\.docker\.compose\.project=([^,]+)", container.get("Labels", ""))
        folder = re.search(r"com\.docker\.compose\.project\.working_dir=([^,]+)", container.get("Labels", ""))
        return (
            f"container {container['Names']}"
            + (f" of the Compose project {project[1]}" if project else "")
            + (f" in {folder[1]}" if folder else "")
        )
    return None
