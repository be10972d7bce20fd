"""The fields of ours in Compose files: what `x-health`, `x-embedded` and `x-aws` may say."""

from __future__ import annotations

import difflib
import re
import shlex
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.stack import schedules

MigrationKey = Literal["command", "plan", "status", "list"]
KNOWN = ("x-health", "x-embedded", "x-aws")
OWN = "x-stackhand"
ASKED = r"/[!\"$-)+-~]*"
"""A path that is asked for: HTTP has no blanks in it, and in a rule of the load balancer a star is any text."""
HOST = r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
ASKED_SAYS = "a path without blanks, * or #"


class Embedded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-embedded`: how a service runs with no container engine.

    Args:
        engine: one of the servers that Stackhand installs; or else `command`.
        command: the program to run, from the checkout; `$$PORT` in it becomes the port to listen on.
        environment: variables that replace or complete those of `environment`.
        ready: a path that answers 200 once the service may be used; without it, `x-health` is asked.
        template: the configuration of an nginx, with `${VARIABLE}` filled in from `environment`.
        working_dir: the folder that `command` runs in, relative to the project; the project itself without it.
    """

    engine: Literal["postgres", "redis", "nginx"] | None = None
    command: str | list[str] | None = None
    environment: dict[str, str | int | float | bool] = {}
    ready: str | None = None
    template: str | None = None
    working_dir: str | None = None


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many tasks run, and at which average CPU and memory use (percent) another one starts."""

    min: int = 1
    max: int = 1
    cpu: int = 60
    memory: int = 70


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws.probe`: what a release is asked through the load balancer, once it is rolled out.

    Args:
        path: that has to answer 200; without it, `x-health`.
        version: a path whose JSON has the `commit` that was released; without it, that is not asked.
    """

    path: str | None = None
    version: str | None = None


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws.release` of a job, whose own command runs once before each rollout; mostly, it migrates a database.

    A question is asked by a command of its own, and never by flags of ours: a tool that does not know them migrates.

    Args:
        plan: shows what is pending, and changes nothing.
        status: shows what is applied and what is not, and changes nothing.
        list: prints the migrations that the code has, as JSON, and needs no database (docs/architecture.md).
        timeout: seconds the command may take in a deploy; two hours without it.
    """

    plan: str | None = None
    status: str | None = None
    list: str | None = None
    timeout: Annotated[int, msgspec.Meta(gt=0)] | None = None


class ReleaseCommand(Release, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`x-aws.release` of a web server or worker: the command that runs once before each rollout, in its image."""

    command: str


class Fargate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws` of a web server or worker, an ECS service on Fargate: sizes in CPU units and MiB.

    Args:
        port: that its container listens at; None for a worker.
        host: the host names for which requests reach its paths; any, where there are none.
        probe: what a release is asked from outside; false for nothing.
        release: the command that runs once before each rollout.
        hardened: whether its root file system is read-only and it has no capabilities where Compose's keys do not say.
        ca: the path, in the image, of the certificates by which a database at RDS is verified.
        protocol: in which other services speak to it; without one, http where it has `x-health`, else tcp.
        timeout: seconds that a request of another service may take, or that a connection of TCP may idle; None for no
            limit, or an hour.
    """

    port: int | None = None
    cpu: int = 256
    memory: int = 512
    scale: Scale = Scale()
    paths: list[str] = []
    host: list[str] = []
    needs: list[str] = []
    release: ReleaseCommand | str | None = None
    ca: str | None = None
    probe: Probe | bool = True
    hardened: bool = True
    protocol: Literal["http", "http2", "grpc", "tcp"] | None = None
    timeout: Annotated[int, msgspec.Meta(gt=0, le=2147483647)] | None = None
    kind: Literal["web", "worker"] = "web"


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-aws` of a service that runs to its end: a task, and no ECS service.

    Args:
        release: how it runs before the services that wait for it; None where none does.
        schedule: when it runs by itself, as an expression of EventBridge Scheduler.
        timezone: of that expression.
    """

    release: Release | Literal[True] | None = None
    schedule: str | None = None
    timezone: str = "UTC"
    cpu: int = 256
    memory: int = 512
    needs: list[str] = []
    ca: str | None = None
    hardened: bool = True
    kind: Literal["job"] = "job"


SERVERLESS = "serverless"
"""The class of a database or cache that AWS sizes by itself."""


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How small and large a database of class serverless becomes, in Aurora's units (ACU, 2 GiB of memory each).

    Args:
        min: 0 pauses it while nobody is connected.
        max: the most.
        pause: seconds without a connection until it pauses.
    """

    min: float = 0
    max: float = 4
    pause: int = 300


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


class Stackhand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-stackhand` beside `services`: what concerns the project and none of its services.

    Args:
        test: the command that `./inv test` runs, split as a shell would, or its words.
    """

    test: str | list[str] | None = None

    @property
    def test_command(self) -> tuple[str, ...]:
        """The words of `test`."""
        return tuple(shlex.split(self.test) if isinstance(self.test, str) else self.test or ())


def wrong(at: str, expected: str, given: Any = None) -> Failure:
    """Return the failure that says what was expected at a place of a file (`FILE: KEY`), and what is there."""
    shown = "" if given is None else f", not {given!r}"
    return Failure(f"{at} must be {expected}{shown}.", next=_fix(at), code=ExitCode.PREFLIGHT)


def _fix(at: str) -> str:
    return f"fix {at.partition(': ')[0]}, then repeat the command"


def refuse_misspelt(entry: dict[str, Any], at: str) -> None:
    """Refuse `x-` keys that are almost ours: one would be silently without effect. Other tools have their own."""
    for key in entry:
        if key.startswith("x-") and key not in KNOWN and difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.75):
            raise wrong(f"{at}.{key}", f"one of the known x- keys ({', '.join(KNOWN)})")


def stackhand(resolved: dict[str, Any], file: str) -> Stackhand:
    """Return `x-stackhand`, which stands beside `services`; almost that key would be without effect, and is refused."""
    for key in resolved:
        if key.startswith("x-") and key != OWN and difflib.get_close_matches(key, [OWN], n=1, cutoff=0.85):
            raise wrong(f"{file}: {key}", f"called {OWN}")
    if resolved.get(OWN) is None:
        return Stackhand()
    own = _convert(resolved[OWN], Stackhand, f"{file}: {OWN}")
    if isinstance(own.test, str):
        _refuse_open_quote(own.test, f"{file}: {OWN}.test")
    return own


def health(entry: dict[str, Any], at: str) -> str | None:
    """Return `x-health`: the path that answers 200 while the service lives."""
    path = entry.get("x-health")
    _require_path(path, f"{at}.x-health")
    return path


def embedded(entry: dict[str, Any], at: str) -> Embedded | None:
    """Return `x-embedded`."""
    if entry.get("x-embedded") is None:
        return None
    at, entry = f"{at}.x-embedded", entry["x-embedded"]
    embedded = _convert(entry, Embedded, at)
    if (embedded.engine is None) == (embedded.command is None):
        raise wrong(at, "either engine or command", entry)
    if (embedded.engine == "nginx") != (embedded.template is not None):
        raise wrong(f"{at}.template", "the path of a configuration template, for engine: nginx only", entry)
    if embedded.ready is not None and not embedded.ready.startswith("/"):
        raise wrong(f"{at}.ready", "a path that starts with /", embedded.ready)
    return embedded


def managed(entry: dict[str, Any], at: str) -> Managed:
    """Return the `x-aws` of a managed service."""
    return _convert(entry, Managed, at)


def job(entry: dict[str, Any], at: str) -> Job:
    """Return the `x-aws` of a job."""
    job = _convert(entry, Job, at)
    if job.schedule is not None and not schedules.is_valid(job.schedule):
        raise wrong(f"{at}.schedule", schedules.EXPECTED, job.schedule)
    if not schedules.is_zone(job.timezone) and schedules.is_zone(
        "UTC"
    ):  # a machine without UTC knows no time zones at all
        raise wrong(f"{at}.timezone", "a time zone by its name, such as Europe/Berlin", job.timezone)
    for key, command in commands(job.release).items():
        _refuse_open_quote(command, f"{at}.release.{key}")
    return job


def fargate(entry: dict[str, Any], at: str) -> Fargate:
    """Return the `x-aws` of a web server or worker."""
    service = _convert(entry, Fargate, at)
    probe = service.probe if isinstance(service.probe, Probe) else Probe()
    _require_path(probe.path, f"{at}.probe.path")
    _require_path(probe.version, f"{at}.probe.version")
    if service.host and not service.paths:
        raise wrong(f"{at}.host", "set together with paths, for which requests of that host name reach the service")
    for name in service.host:
        if not re.fullmatch(HOST, name):
            raise wrong(
                f"{at}.host", "a host name in lower-case letters, such as shop.example.org or *.example.org", name
            )
    for key, command in commands(service.release).items():
        _refuse_open_quote(command, f"{at}.release.{key}")
    return service


def commands(release: Release | str | Literal[True] | None) -> dict[str, str]:
    """Return the commands of `x-aws.release` by their keys; a string is the command, and no more."""
    if isinstance(release, Release):
        written = msgspec.to_builtins(release)
        return {key: command for key, command in written.items() if command and key != "timeout"}
    return {"command": release} if isinstance(release, str) and release else {}


def _require_path(path: Any, at: str) -> None:
    """Refuse what cannot be requested, or could not stand in a rule of the load balancer."""
    if path is not None and not (isinstance(path, str) and path.startswith("/")):
        raise wrong(at, "a path that starts with /", path)
    if path is not None and not re.fullmatch(ASKED, path):
        raise wrong(at, ASKED_SAYS, path)


def _refuse_open_quote(command: str, at: str) -> None:
    try:
        shlex.split(command)
    except ValueError as error:
        raise wrong(at, "a command as a shell would split it", command) from error


XField = TypeVar("XField", bound=msgspec.Struct)


def _convert(entry: Any, kind: type[XField], at: str) -> XField:
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        path = re.search(r" - at `\$(.*)`$", str(error))
        expected = re.sub(r" - at `.*`$", "", str(error)).replace("`", "").replace(" | null", "")
        known = ", ".join(kind.__struct_encode_fields__)
        raise Failure(
            f"{at}{path[1] if path else ''}: {expected}.",
            evidence=[f"known keys: {known}"],
            next=_fix(at),
            code=ExitCode.PREFLIGHT,
        ) from error
