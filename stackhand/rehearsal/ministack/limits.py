"""What a container of ministack may do: its name, reach, limits and image, which it pulls with this rehearsal's key."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from docker.models.containers import ContainerCollection
from ministack.services import ecr, ecs

from stackhand.rehearsal.ministack import encryption
from stackhand.rehearsal.ministack.guard import TASK

OURS = f"-{os.environ['GATEWAY_PORT']}"
REACHING = frozenset({"cap_add", "network_mode", "pid_mode", "privileged", "volumes"})
GRANTED = frozenset({"SYS_PTRACE"})
"""https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html"""

_arguments: Callable[..., dict[str, Any]] = ecs._build_run_kwargs
_create: Callable[..., Any] = ContainerCollection.create
_get: Callable[..., Any] = ContainerCollection.get


def run_arguments(
    container: dict[str, Any], definition: dict[str, Any], variables: dict[str, str], *rest: Any
) -> dict[str, Any]:
    """Return what docker is told to run a container with: also its memory, and what it may not do.

    What Fargate refuses, and what would make a task root on this machine, is left out: privileges, folders and
    namespaces of the machine.
    """
    linux = container.get("linuxParameters") or {}
    memory = container.get("memory") or definition.get("memory")
    tmpfs = {each["containerPath"]: f"size={each['size']}m" for each in linux.get("tmpfs") or []}
    more = {
        "mem_limit": memory and f"{memory}m",
        "memswap_limit": memory and f"{memory}m",
        "read_only": container.get("readonlyRootFilesystem"),
        "tmpfs": tmpfs,
        "user": container.get("user"),
        "init": linux.get("initProcessEnabled"),
        "cap_drop": (linux.get("capabilities") or {}).get("drop"),
    }
    arguments = _arguments(container, definition, _with_key(variables), *rest)
    return {**_harmless(arguments), **_named(container), **{key: value for key, value in more.items() if value}}


def _named(container: dict[str, Any]) -> dict[str, Any]:
    """Return docker's arguments by which others find a container under the names of its ports: Service Connect."""
    aliases = [each["name"] for each in container.get("portMappings") or [] if each.get("name")]
    network = os.environ["DOCKER_NETWORK"]
    return {"network": network, "networking_config": {network: {"Aliases": aliases}}, "volumes": encryption.mount()}


def _with_key(variables: dict[str, str]) -> dict[str, str]:
    """Return a task's variables with the authorities, and credentials, so that it asks and hears that it may not."""
    kept = {key: value for key, value in variables.items() if not key.startswith("AWS_CONTAINER_")}
    return {"AWS_ACCESS_KEY_ID": TASK, "AWS_SECRET_ACCESS_KEY": TASK, **encryption.VARIABLES, **kept}


def _harmless(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return docker's arguments without what reaches beyond the container."""
    kept = {key: value for key, value in arguments.items() if key not in REACHING}
    added = [each for each in arguments.get("cap_add", []) if each in GRANTED]
    return {**kept, **({"cap_add": added} if added else {})}


def create(collection: Any, image: str, command: Any = None, **more: Any) -> Any:
    """Create a container under a name of our own, its ports for this machine only; `run` does it by this too."""
    if more.get("name"):
        more["name"] = _own(more["name"])
    if more.get("ports"):
        more["ports"] = {inner: _here(outer) for inner, outer in more["ports"].items()}
    return _create(collection, image, command, **more)


def _here(port: Any) -> tuple[Any, ...]:
    """Return a port to publish as docker-py takes it with an address; without a number, any that is free."""
    if isinstance(port, tuple):
        return port
    return ("127.0.0.1", port) if port else ("127.0.0.1",)


def get(collection: Any, identity: str) -> Any:
    """Return a container by its id, or by the name that ministack knows."""
    return _get(collection, _own(identity) if identity.startswith("ministack-") else identity)


def _own(name: str) -> str:
    return name if name.endswith(OURS) else f"{name}{OURS}"


USER = "AWS"
KEY = os.environ["REHEARSAL_KEY"]
HERE = f":{os.environ['GATEWAY_PORT']}/"

_token: Callable[[Any], Any] = ecr._get_authorization_token
_credentials: Callable[[dict[str, Any]], dict[str, str] | None] = ecs._resolve_repository_credentials


def token(data: Any) -> Any:
    """Answer GetAuthorizationToken: as ministack, which has one password for all the world, but with the key."""
    theirs = base64.b64encode(b"AWS:ministack-auth-token")
    status, headers, body = _token(data)
    if theirs not in body:
        raise RuntimeError("ministack answers GetAuthorizationToken otherwise than it did")
    return status, headers, body.replace(theirs, base64.b64encode(f"{USER}:{KEY}".encode()))


def credentials(container: dict[str, Any]) -> dict[str, str] | None:
    """Return what the image of a container is pulled with."""
    if HERE in str(container.get("image", "")):
        return {"username": USER, "password": KEY}
    return _credentials(container)
