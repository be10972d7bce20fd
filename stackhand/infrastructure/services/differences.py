"""What AWS does otherwise with `docker-compose.yml`, or not at all: named before anything is applied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import msgspec

from stackhand.cli import console
from stackhand.infrastructure.services import references, tfvars
from stackhand.infrastructure.services.references import Note
from stackhand.project.compose import composekeys, resolution
from stackhand.project.compose.composekeys import Level
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Capacity, Fargate, Job, Managed

STOP_WITHIN = 120
"""The seconds that Fargate gives a task to stop, at most."""
KEPT = frozenset({"rw", "nosuid", "nodev"})
"""The options of a folder in memory that it has on AWS as well."""
OF_AN_IMAGE = ("command", "entrypoint", "configs", "volumes")
"""What sets up the container for which a managed service stands in."""
POSTGRESQL = "16"
"""The version in terraform/database.tf."""
LACKING = {
    **dict.fromkeys(("timescaledb", "timescaledb-ha"), "RDS has no TimescaleDB"),
    **dict.fromkeys(("redis-stack", "redis-stack-server"), "ElastiCache has none of the modules of Redis Stack"),
}
"""What a managed service has not, by the last part of the name of the image that it stands in for."""


class CloudFinding(msgspec.Struct, frozen=True):
    """One thing that AWS refuses or does differently, or that deserves a thought before a deploy.

    Args:
        level: how much it matters.
        subject: what it is about: a service, a file, a variable.
        message: what is found.
        remedy: what to do; empty where there is nothing to do, or the message says it.
        key: of the Compose file, where one is meant.
    """

    level: Literal["refused", "differs", "advice"]
    subject: str
    message: str
    remedy: str = ""
    key: str = ""

    def line(self) -> str:
        """Return it as people read it."""
        return f"{self.subject}: {self.message}{f' (fix: {self.remedy})' if self.remedy else ''}"


def notes(stack: Stack) -> list[Note]:
    """Return what there is to know of the services on AWS."""
    written = resolution.written(stack.root)
    return [
        note
        for name, entry in written["services"].items()
        for note in _service(stack.services[name], stack, entry or {})
    ]


def refusals(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield what AWS cannot run at all, with its place."""
    for key, support in composekeys.differing("aws", entry):
        if support.level is Level.REFUSED:
            yield f"services.{name}.{key}: {support.message}"
    if not entry.get("entrypoint"):  # with one of its own, the image's command is not run anyhow
        for key in ("entrypoint", "command"):
            if entry.get(key) is not None and not _words(entry[key]):
                yield f"services.{name}.{key}: AWS cannot clear the image's value; set it or remove the key"
    limit = (entry.get("ulimits") or {}).get("nofile", 0)
    if not (_whole(limit) or (isinstance(limit, dict) and all(_whole(limit.get(key)) for key in ("soft", "hard")))):
        yield f"services.{name}.ulimits.nofile must be a number, or have both soft and hard"


def _words(value: Any) -> list[Any]:
    return value.split() if isinstance(value, str) else list(value)


def _whole(value: Any) -> bool:
    return re.fullmatch(r"-?\d+", str(value)) is not None


def lines(noted: Sequence[Note]) -> list[str]:
    """Return them as people read them: a line for each thing that is lost, one for all that is only different."""
    ours = [each for each in noted if each.key.startswith("x-aws")]
    theirs = [each for each in noted if each not in ours]
    lost = sorted((each for each in theirs if each.level is Level.IGNORED), key=lambda each: (each.key, each.message))
    output = console.together(f"{each.subject}: {each.message}" for each in ours)
    for (key, message), group in groupby(lost, key=lambda each: (each.key, each.message)):
        output.append(f"{key} of {', '.join(each.subject for each in group)}: {message}")
    differing = [each for each in theirs if each.level is Level.DIFFERS]
    rewritten = sorted((each for each in differing if each.key == "environment"), key=lambda each: each.message)
    for message, group in groupby(rewritten, key=lambda each: each.message):
        output.append(f"environment of {', '.join(each.subject for each in group)}: {message}")
    other = sorted({each.key for each in differing} - {"environment"})
    if other:
        output.append(f"different on AWS: {', '.join(other)} (docs/operations.md)")
    return output


def _service(service: Service, stack: Stack, entry: Mapping[str, Any]) -> Iterator[Note]:
    match service.aws:
        case None:
            yield Note(Level.IGNORED, "x-aws", service.name, "not on AWS, for lack of x-aws")
        case Managed():
            yield from _managed(service, service.aws, entry)
        case Fargate() | Job():
            yield from keys(service.name, entry)
            yield from _values(service.name, entry)
            yield from _hardening(service.name, service.aws, entry)
            yield from references.mount_notes(service, stack, entry)
            yield from references.address_notes(service, stack, entry)


def _managed(service: Service, aws: Managed, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what sets up the container and does not set up what stands in for it; data lies in it anyhow."""
    stands_in = references.STANDS_IN[aws.managed]
    keys = [key for key in OF_AN_IMAGE if entry.get(key) and (key != "volumes" or references.binds(entry))]
    for key in keys:
        yield Note(Level.IGNORED, key, service.name, f"{stands_in} replaces the container; terraform/ configures it")
    if aws.serverless:
        yield from _serverless(service.name, aws)
    image, _, tag = (service.image or "").partition("@")[0].rpartition("/")[2].partition(":")
    if message := LACKING.get(image):
        yield Note(Level.IGNORED, "image", service.name, message)
    version = re.search(r"pg(\d+)", tag) or re.match(r"(\d+)", tag)
    if service.server == "postgres" and (version is None or version[1] != POSTGRESQL):
        yield Note(Level.IGNORED, "image", service.name, f"RDS runs PostgreSQL {POSTGRESQL}, whatever the tag says")


def _serverless(name: str, aws: Managed) -> Iterator[Note]:
    """Yield what clients meet where AWS sizes a database or cache by itself."""
    capacity = aws.capacity or Capacity()
    if aws.managed == "elasticache":
        message = "ElastiCache Serverless has cluster mode only: database 0, and no command on keys of several slots"
        yield Note(Level.DIFFERS, "x-aws.class", name, message)
    elif not capacity.min:
        message = f"Aurora pauses after {capacity.pause} s without a connection, and the next one waits about 15 s"
        yield Note(Level.DIFFERS, "x-aws.class", name, message)


def keys(name: str, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield the keys of a service that AWS has not, or has otherwise; what volumes and configs mean is told apart."""
    for key, support in composekeys.differing("aws", entry):
        if support.level is not Level.REFUSED and key not in {"volumes", "configs"}:
            yield Note(support.level, key, name, support.message)


def _values(name: str, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield which values of the keys that AWS has are not taken."""
    for limit in entry.get("ulimits") or {}:
        if limit != "nofile":
            yield Note(Level.IGNORED, "ulimits", f"{limit} ({name})", "Fargate supports only nofile")
    for capability in entry.get("cap_add") or []:
        if str(capability).upper().removeprefix("CAP_") not in BY_DEFAULT | GRANTED:
            yield Note(Level.IGNORED, "cap_add", f"{capability} ({name})", "Fargate does not grant it")
    for option in _lost_options(entry.get("tmpfs") or []):
        yield Note(Level.IGNORED, "tmpfs", f"{option} ({name})", "only the size option is used")
    if tfvars.seconds(str(entry.get("stop_grace_period", "0s"))) > STOP_WITHIN:
        yield Note(Level.IGNORED, "stop_grace_period", name, f"Fargate waits at most {STOP_WITHIN} s, then kills")
    lost = {"start_interval"} & set(entry.get("healthcheck") or {})
    if lost:
        yield Note(Level.DIFFERS, "healthcheck.start_interval", name, "ECS checks at the interval from the start")


def _lost_options(tmpfs: str | Sequence[str]) -> list[str]:
    """Return the options of folders in memory that none has on AWS; each is mounted nosuid and nodev there."""
    texts = [tmpfs] if isinstance(tmpfs, str) else tmpfs
    options = [option for text in texts for option in str(text).partition(":")[2].split(",") if option]
    return [each for each in options if each not in KEPT and not each.startswith("size=")]


def _hardening(name: str, aws: Fargate | Job, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what a container gets that the Compose file does not say."""
    if not aws.hardened:
        return
    parts = ["a read-only root file system with a /tmp"] if entry.get("read_only") is None else []
    parts += ["no capabilities"] if entry.get("cap_drop") is None else []
    if parts:
        keys = [key for key in ("read_only", "cap_drop") if entry.get(key) is None]
        off = f"x-aws.hardened: false turns that off, and so does setting {' and '.join(keys)}"
        yield Note(Level.DIFFERS, "x-aws.hardened", name, f"{' and '.join(parts)} on AWS; {off}")


BY_DEFAULT = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
"""What a container has by default: these can be kept; terraform/hardening.tf lists the same."""
GRANTED = frozenset({"SYS_PTRACE"})
