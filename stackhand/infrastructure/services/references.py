"""What a service mounts here and does not on AWS: its volumes, its sources, its configuration files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stackhand.project.compose import resolution
from stackhand.project.compose.composekeys import AWS, Level
from stackhand.project.stack import addresses
from stackhand.project.stack.addresses import leads_to
from stackhand.project.stack.kinds import PORTS
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Fargate, Job, Managed

HAS_ITS_OWN = "not mounted; the image has only what its Dockerfile copies"
NOT_THERE = "missing; COPY it into an image"
STANDS_IN = {"rds": "RDS", "elasticache": "ElastiCache"}
"""What AWS calls the services that it runs in place of a container."""
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
        context = service.build and (stack.root / service.build.context).resolve()
        copied = context and path.is_dir() and path.resolve().is_relative_to(context)
    except (OSError, RuntimeError):  # nobody of that name is here, or the folder is not ours to look into
        return NOT_THERE
    return HAS_ITS_OWN if copied else NOT_THERE + _names(path, service, stack)


def _mount(entry: Any) -> Mount:
    if isinstance(entry, dict):
        return Mount(str(entry.get("type", "volume")), str(entry.get("source") or ""), str(entry.get("target") or ""))
    source, _, rest = str(entry).partition(":")
    if not rest:
        return Mount("volume", "", source)
    return Mount("bind" if source[:1] in {".", "/", "~", "$"} else "volume", source, rest.partition(":")[0])


def _configs(entry: Mapping[str, Any], root: Path) -> dict[str, Path | None]:
    """Return the service's configs by name, with the files that they are made from."""
    defined = resolution.written(root).get("configs") or {}
    names = [each["source"] if isinstance(each, dict) else str(each) for each in entry.get("configs") or []]
    files = {name: (defined.get(name) or {}).get("file") for name in names}
    return {name: root / file if file else None for name, file in files.items()}


def _names(path: Path, service: Service, stack: Stack) -> str:
    """Say which other services a file leads to: nothing can rewrite that on AWS."""
    try:
        text = path.read_text(encoding="utf-8")[:READ] if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
    others = [
        each.name
        for each in stack.services.values()
        if each.name != service.name and not isinstance(each.aws, Fargate) and leads_to(text, each.name)
    ]
    return f"; it refers to {', '.join(others)}, which has another address there" if others else ""


A_HOST = re.compile(rf"{addresses.HOST.pattern}|URL|URI")
"""What a variable is called whose value may be a host name alone, also where nobody rewrites it."""
TEXTS = ("command", "entrypoint", "healthcheck")
NO_PROXY = "a job has no Service Connect proxy on AWS"
"""ECS gives one to tasks of services alone, and the names are in no DNS, whatever the type of the namespace."""


def address_notes(service: Service, stack: Stack, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what becomes of the names of other services: those that work, and those of which AWS has the address."""
    others = [each for each in stack.services.values() if each.name != service.name and not isinstance(each.aws, Job)]
    for key, value in service.environment.items():
        for other in others:
            subject = f"{key} ({service.name})"
            if isinstance(other.aws, Managed) and addresses.names(key, value, other.name, PORTS[other.aws.managed]):
                message = f"{other.name} becomes its address on {STANDS_IN[other.aws.managed]}"
                yield Note(Level.DIFFERS, "environment", subject, message)
            if by := _through_the_load_balancer(service, other, value):
                yield Note(Level.DIFFERS, "environment", subject, by)
            elif _named(key, value, other) and (message := _unreached(service, other, value)):
                yield Note(Level.IGNORED, "environment", subject, message)
    for key in TEXTS:
        for other in others:
            text = str(entry.get(key) or "")
            if leads_to(text, other.name) and (message := _unreached(service, other, text)):
                yield Note(Level.IGNORED, key, service.name, message)


def _named(key: str, value: str, other: Service) -> bool:
    """Whether a value still names a service after Terraform has put in the addresses of AWS."""
    if isinstance(other.aws, Managed):
        port = PORTS[other.aws.managed]
        if addresses.is_host(key, value, other.name):
            return False
        value = addresses.with_ports(value, {other.name: port}).replace(f"{other.name}:{port}", "")
    return leads_to(value, other.name) or (value == other.name and bool(A_HOST.search(key.upper())))


def _unreached(service: Service, other: Service, text: str) -> str:
    """Say why a service does not reach another one by its name on AWS; nothing when it does."""
    match other.aws:
        case None:
            return f"{other.name} is not on AWS"
        case Managed():
            form = f"{other.name}:{PORTS[other.aws.managed]}"
            return f"{other.name} is no host name on AWS; {form} becomes its address, and only under environment"
        case Fargate(kind="worker"):
            return f"{other.name} is a worker, to which nothing connects on AWS"
        case Fargate() if isinstance(service.aws, Job):
            return _from_a_job(other)
        case Fargate():
            return _other_port(other, other.aws, text)
    return ""


def _through_the_load_balancer(service: Service, other: Service, value: str) -> str:
    """Say that a job takes the route of the public to a service, in the form that Terraform rewrites."""
    form = _form_of_a_job(other)
    if not isinstance(service.aws, Job) or not form or not re.search(rf"{re.escape(form)}(?!\d)", value):
        return ""
    there = f'there the x-aws.paths of {other.name} answer, and with nat = "none" nothing does'
    return f"{NO_PROXY}, so {form} becomes the load balancer's address: {there}"


def _from_a_job(other: Service) -> str:
    form = _form_of_a_job(other)
    way = f"under environment, {form} becomes the load balancer's address" if form else "give it x-aws.paths"
    return f"{NO_PROXY}, so {other.name} is no host name in it; {way}"


def _form_of_a_job(other: Service) -> str:
    """Return what Terraform rewrites in a job; nothing for a service that the load balancer does not know."""
    aws = other.aws
    return f"http://{other.name}:{aws.port}" if isinstance(aws, Fargate) and aws.paths else ""


def _other_port(other: Service, aws: Fargate, text: str) -> str:
    ports = {int(each) for each in re.findall(rf"(?<![\w.-]){re.escape(other.name)}:(\d+)(?!\w)", text)} - {aws.port}
    return f"{other.name} answers at port {aws.port} on AWS, and at no other one" if ports else ""


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
