"""What a service mounts here and does not on AWS: its volumes, its sources, its configuration files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stackhand.project import resolution
from stackhand.project.composekeys import AWS, Level
from stackhand.project.kinds import PORTS
from stackhand.project.model import Service, Stack
from stackhand.project.xfields import Fargate, Job, Managed

HAS_ITS_OWN = "not mounted; the image has only what its Dockerfile copies"
NOT_THERE = "missing; COPY it into an image"
READ = 200_000
"""The letters of a file that are looked at."""


class Mount(NamedTuple):
    """One entry of `volumes`."""

    kind: str
    source: str
    target: str


def mounts(entry: Mapping[str, Any]) -> list[Mount]:
    """Return what a service mounts, in either of Compose's forms."""
    return [_mount(each) for each in entry.get("volumes") or []]


def binds(entry: Mapping[str, Any]) -> list[Mount]:
    """Return the paths of this machine that a service mounts."""
    return [each for each in mounts(entry) if each.kind == "bind"]


def mount_notes(service: Service, stack: Stack, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what becomes of each mount, and of each of the service's configs."""
    for mount in mounts(entry):
        yield Note(
            Level.IGNORED, "volumes", f"{mount.source or mount.target} ({service.name})", _lost(mount, service, stack)
        )
    for name, path in _configs(entry, stack.root).items():
        message = AWS["configs"].message + (_names(path, service, stack) if path else "")
        yield Note(Level.IGNORED, "configs", f"{name} ({service.name})", message)


def _lost(mount: Mount, service: Service, stack: Stack) -> str:
    if mount.kind == "tmpfs":
        return "not mounted; declare it as tmpfs"
    if mount.kind != "bind":
        return f"data written to {mount.target} is lost with each task"
    try:
        path = stack.root / Path(mount.source).expanduser()
        copied = service.build and path.is_dir() and _is_below(path, stack.root / service.build.context)
    except (OSError, RuntimeError):  # nobody of that name is here, or the folder is not ours to look into
        return NOT_THERE
    return HAS_ITS_OWN if copied else NOT_THERE + _names(path, service, stack)


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _mount(entry: Any) -> Mount:
    if isinstance(entry, dict):
        return Mount(str(entry.get("type", "volume")), str(entry.get("source") or ""), str(entry.get("target") or ""))
    source, _, rest = str(entry).partition(":")
    if not rest:
        return Mount("volume", "", source)
    return Mount("bind" if source[:1] in {".", "/", "~", "$"} else "volume", source, rest.partition(":")[0])


def _configs(entry: Mapping[str, Any], root: Path) -> dict[str, Path | None]:
    """Return the service's configs by name, with the files that they are made from."""
    defined = resolution.written(root, {}).get("configs") or {}
    names = [each["source"] if isinstance(each, dict) else str(each) for each in entry.get("configs") or []]
    files = {name: (defined.get(name) or {}).get("file") for name in names}
    return {name: root / file if file else None for name, file in files.items()}


def _names(path: Path, service: Service, stack: Stack) -> str:
    """Say which other services a file leads to: nothing can rewrite that on AWS."""
    try:
        text = path.read_text(encoding="utf-8")[:READ] if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
    others = [name for name in stack.services if name != service.name and leads_to(text, name)]
    return f"; it refers to {', '.join(others)}, which has another address there" if others else ""


A_HOST = re.compile(r"HOST|ADDR|SERVER|ENDPOINT|UPSTREAM|BROKER|URL|URI")
"""What a variable is called whose value may be a host name and nothing else."""
TEXTS = ("command", "entrypoint", "healthcheck")


def address_notes(service: Service, stack: Stack, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield where another service is named in a way that nobody rewrites."""
    others = [each for each in stack.services.values() if each.name != service.name and not isinstance(each.aws, Job)]
    for key, value in service.environment.items():
        for other in others:
            if _left(key, value, other):
                yield Note(Level.IGNORED, "environment", f"{key} ({service.name})", _advice(other))
    for key in TEXTS:
        for other in others:
            if leads_to(str(entry.get(key) or ""), other.name):
                yield Note(
                    Level.IGNORED,
                    key,
                    service.name,
                    f"{other.name} is not a host name on AWS; addresses are rewritten only under environment",
                )


def leads_to(text: str, name: str) -> bool:
    """Whether a text has a service as a host: before a port, or in a URL."""
    host = re.escape(name)
    return bool(
        re.search(rf"(?<![\w.-]){host}:\d+(?!\w)", text) or re.search(rf"://(?:[^/@\s]*@)?{host}(?=[/?\s\"';]|$)", text)
    )


def _left(key: str, value: str, other: Service) -> bool:
    """Whether a value still names a service after Terraform has put in the addresses of AWS."""
    value = value.replace(rewritten(other), "")
    return leads_to(value, other.name) or (value == other.name and bool(A_HOST.search(key.upper())))


def rewritten(other: Service) -> str:
    """Return how a service on AWS has to be named to be found there, as terraform/environment.tf looks for it."""
    match other.aws:
        case Managed():
            return f"{other.name}:{PORTS[other.aws.managed]}"
        case Fargate(kind="web"):
            return f"http://{other.name}:{other.aws.port}"
    return ""


def _advice(other: Service) -> str:
    if other.aws is None:
        return f"{other.name} is not on AWS"
    if not rewritten(other):
        return f"{other.name} is a {other.kind}, to which nothing connects on AWS"
    return f"{other.name} is not a host name on AWS; {rewritten(other)} is rewritten to its address"


class Note(msgspec.Struct, frozen=True):
    """What becomes of a key of the Compose file.

    Args:
        level: how much of it AWS carries.
        key: of the service.
        subject: the service, or the part of it that is meant, with the service in parentheses.
        message: how it differs, or what is lost.
    """

    level: Level
    key: str
    subject: str
    message: str
