"""`x-aws`: what a service, a job or a managed service may say of how it runs on AWS."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from stackhand.project.stack.xfields import convert, refuse_open_quote, require_path, wrong

HOST = r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"

RECURS = "rate(NUMBER minutes|hours|days) or cron(MINUTE HOUR DAY MONTH WEEKDAY YEAR) with ? as either day"
"""What EventBridge Scheduler accepts as an expression."""


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many tasks run, and at which average CPU and memory use (percent) another one starts."""

    min: int = 1
    max: int = 1
    cpu: int = 60
    memory: int = 70


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws.probe`: what a release is asked through the load balancer, once it is rolled out."""

    path: str | None = None  # that has to answer 200; without it, `x-health`
    version: str | None = None  # a path whose JSON has the `commit` that was released; without it, that is not asked


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws.release` of a job, whose own command runs once before each rollout; mostly, it migrates a database.

    A question is asked by a command of its own, and never by flags of ours: a tool that does not know them migrates.
    """

    plan: str | None = None  # shows what is pending, and changes nothing
    status: str | None = None  # shows what is applied and what is not, and changes nothing
    list: str | None = None
    """Prints the migrations that the code has, as JSON, and needs no database (docs/architecture.md)."""
    timeout: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Seconds the command may take in a deploy; two hours without it."""


class ReleaseCommand(Release, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`x-aws.release` of a web server or worker: the command that runs once before each rollout, in its image."""

    command: str


class Fargate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws` of a web server or worker, an ECS service on Fargate: sizes in CPU units and MiB."""

    port: int | None = None  # that its container listens at; None for a worker
    cpu: int = 256
    memory: int = 512
    scale: Scale = Scale()
    paths: list[str] = []
    host: list[str] = []  # the host names for which requests reach its paths; any, where there are none
    needs: list[str] = []
    release: ReleaseCommand | str | None = None  # the command that runs once before each rollout
    ca: str | None = None  # the path, in the image, of the certificates by which a database at RDS is verified
    probe: Probe | bool = True  # what a release is asked from outside; false for nothing
    hardened: bool = True
    """Whether its root file system is read-only and it has no capabilities where Compose's keys do not say."""
    protocol: Literal["http", "http2", "grpc", "tcp"] | None = None
    """In which other services speak to it; without one, http where it has `x-health`, else tcp."""
    timeout: Annotated[int, msgspec.Meta(gt=0, le=2147483647)] | None = None
    """Seconds that another service's request may take, or a connection of TCP may idle; None: no limit, or an hour."""
    kind: Literal["web", "worker"] = "web"


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws` of a service that runs to its end: a task, and no ECS service."""

    release: Release | Literal[True] | None = None
    """How it runs before the services that wait for it; None where none does."""
    schedule: str | None = None  # when it runs by itself, as an expression of EventBridge Scheduler
    timezone: str = "UTC"  # of that expression
    cpu: int = 256
    memory: int = 512
    needs: list[str] = []
    ca: str | None = None
    hardened: bool = True
    kind: Literal["job"] = "job"


SERVERLESS = "serverless"
"""The class of a database or cache that AWS sizes by itself."""


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How small and large a database of class serverless becomes, in Aurora's units (ACU, 2 GiB of memory each)."""

    min: float = 0  # 0 pauses it while nobody is connected
    max: float = 4
    pause: int = 300  # seconds without a connection until it pauses


class Managed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"instance_class": "class"}):
    """`x-aws` of a service for which a managed one stands in: storage in GiB, of a serverless cache the most of it."""

    managed: Literal["rds", "elasticache"]
    instance_class: str
    storage: int | None = None
    capacity: Capacity | None = None
    kind: Literal["managed"] = "managed"

    @property
    def serverless(self) -> bool:
        """Whether AWS sizes it by itself."""
        return self.instance_class == SERVERLESS


XAws = Fargate | Job | Managed


def job(entry: dict[str, Any], at: str) -> Job:
    """Return the `x-aws` of a job."""
    job = convert(entry, Job, at)
    if job.schedule is not None and not _recurs(job.schedule):
        raise wrong(f"{at}.schedule", RECURS, job.schedule)
    if not _is_zone(job.timezone) and _is_zone("UTC"):  # a machine without UTC knows no time zones at all
        raise wrong(f"{at}.timezone", "a time zone by its name, such as Europe/Berlin", job.timezone)
    for key, command in commands(job.release).items():
        refuse_open_quote(command, f"{at}.release.{key}")
    return job


def fargate(entry: dict[str, Any], at: str) -> Fargate:
    """Return the `x-aws` of a web server or worker."""
    service = convert(entry, Fargate, at)
    probe = service.probe if isinstance(service.probe, Probe) else Probe()
    require_path(probe.path, f"{at}.probe.path")
    require_path(probe.version, f"{at}.probe.version")
    if service.host and not service.paths:
        raise wrong(f"{at}.host", "set together with paths, for which requests of that host name reach the service")
    for name in service.host:
        if not re.fullmatch(HOST, name):
            raise wrong(
                f"{at}.host", "a host name in lower-case letters, such as shop.example.org or *.example.org", name
            )
    for key, command in commands(service.release).items():
        refuse_open_quote(command, f"{at}.release.{key}")
    return service


def commands(release: Release | str | Literal[True] | None) -> dict[str, str]:
    """Return the commands of `x-aws.release` by their keys; a string is the command, and no more."""
    if isinstance(release, Release):
        written = msgspec.to_builtins(release)
        return {key: command for key, command in written.items() if command and key != "timeout"}
    return {"command": release} if isinstance(release, str) and release else {}


def _recurs(expression: str) -> bool:
    """Whether it is an expression of EventBridge Scheduler that recurs: one of day and weekday must be `?` in cron."""
    if cron := re.fullmatch(r"cron\((\S+(?: \S+){5})\)", expression):
        fields = cron[1].split(" ")
        return (fields[2] == "?") != (fields[4] == "?") and "?" not in "".join(fields[:2] + fields[3:4] + fields[5:])
    return bool(re.fullmatch(r"rate\([1-9]\d* (minute|hour|day)s?\)", expression))


def _is_zone(name: str) -> bool:
    """Whether this machine knows a time zone of that name."""
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
