"""The containers of ministack: what they may do, the key that pulls their images, how often each is looked at."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from typing import Any

from docker.models.containers import ContainerCollection
from ministack.services import ecr, ecs

from stackhand.rehearsal.ministack import encryption
from stackhand.rehearsal.ministack.guard import TASK

PORT, KEY = os.environ["GATEWAY_PORT"], os.environ["REHEARSAL_KEY"]
OURS = f"-{PORT}"
REACHING = frozenset({"cap_add", "network_mode", "pid_mode", "privileged", "volumes"})
GRANTED = frozenset({"SYS_PTRACE"})
"""https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html"""
USER = "AWS"
YOUNG = 10.0
"""Seconds in which jobs end, and in which what cannot start fails."""
WHILE_YOUNG, LATER = 0.2, 1.0
"""Seconds between two looks."""

_arguments: Callable[..., dict[str, Any]] = ecs._build_run_kwargs
_create: Callable[..., Any] = ContainerCollection.create
_get: Callable[..., Any] = ContainerCollection.get
_token: Callable[[Any], Any] = ecr._get_authorization_token
_credentials: Callable[[dict[str, Any]], dict[str, str] | None] = ecs._resolve_repository_credentials
_mark_stopped: Callable[..., None] = ecs._maybe_mark_stopped
_looks: dict[str, tuple[float, float]] = {}
"""The first and the last look at each task, by the monotonic clock."""


def run_arguments(
    container: dict[str, Any], definition: dict[str, Any], variables: dict[str, str], *rest: Any
) -> dict[str, Any]:
    """Return what docker is told to run a container with: also its memory, and what it may not do.

    What Fargate refuses, and what would make a task root on this machine, is left out: privileges, folders and
    namespaces of the machine.
    """
    linux = container.get("linuxParameters") or {}
    memory = container.get("memory") or definition.get("memory")
    limit = memory and f"{memory}m"
    tmpfs = {each["containerPath"]: f"size={each['size']}m" for each in linux.get("tmpfs") or []}
    more = {
        "mem_limit": limit,
        "memswap_limit": limit,
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
    return name.removesuffix(OURS) + OURS


def token(data: Any) -> Any:
    """Answer GetAuthorizationToken: as ministack, which has one password for all the world, but with the key."""
    theirs = base64.b64encode(b"AWS:ministack-auth-token")
    status, headers, body = _token(data)
    if theirs not in body:
        raise RuntimeError("ministack answers GetAuthorizationToken otherwise than it did")
    return status, headers, body.replace(theirs, base64.b64encode(f"{USER}:{KEY}".encode()))


def credentials(container: dict[str, Any]) -> dict[str, str] | None:
    """Return what the image of a container is pulled with."""
    if f":{PORT}/" in str(container.get("image", "")):
        return {"username": USER, "password": KEY}
    return _credentials(container)


def mark_stopped(task: dict[str, Any], *rest: Any) -> None:
    """Note which containers of a task have ended, where the last look is long enough ago.

    ministack inspects each container twenty times a second for as long as it runs: with six tasks, half of a core.
    """
    now = time.monotonic()
    first, last = _looks.get(task["taskArn"], (now, float("-inf")))
    if now - last < (WHILE_YOUNG if now - first < YOUNG else LATER):
        return
    _looks[task["taskArn"]] = first, now
    _mark_stopped(task, *rest)
