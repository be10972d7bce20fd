"""`docker-compose.yml` as types: the stack and its services, with what the `x-` fields say about them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited, xfields
from stackhand.project.composefile import FILE, elsewhere, filled, mapping, read, require_one, wrong
from stackhand.project.xfields import Embedded, Fargate, Job, Managed

TARGETS = "HEALTH_TARGETS"
IMAGES = {
    "postgres": {"postgres", "postgis", "pgvector", "timescaledb", "timescaledb-ha"},
    "redis": {"redis", "valkey", "keydb", "redis-stack", "redis-stack-server"},
}
"""Servers by the last part of an image's name: those that take the variables of the official image."""


class Port(msgspec.Struct, frozen=True):
    """One entry of `ports`: the container's `target`, reached at `address:published` of this machine.

    Args:
        variable: the setting that `published` comes from, such as API_PORT; None when it is written out.
    """

    target: int
    published: int
    address: str
    variable: str | None


class Build(msgspec.Struct, frozen=True):
    """Where an image is built from, relative to the checkout, and with which arguments."""

    context: str
    dockerfile: str = "Dockerfile"
    args: dict[str, str] = {}

    @property
    def sources(self) -> str:
        """The folder whose files make the service: that of the Dockerfile, where it has one of its own."""
        folder = Path(self.dockerfile).parent
        return self.context if str(folder) == "." else str(Path(self.context) / folder)


class Service(msgspec.Struct, frozen=True):
    """One entry of `services`.

    Args:
        restart: whether and when it is started again, in Compose's words.
        checked: whether there is a port, a path or a health check by which to see that it works.
        job: whether another service waits until it has run to its end (`service_completed_successfully`).
        jobs: the services for whose end this one waits.
    """

    name: str
    image: str | None
    build: Build | None
    command: list[str]
    environment: dict[str, str]
    ports: tuple[Port, ...]
    depends_on: tuple[str, ...]
    restart: str
    checked: bool
    job: bool
    health: str | None
    embedded: Embedded | None
    aws: Fargate | Job | Managed | None
    jobs: tuple[str, ...] = ()

    @property
    def port(self) -> int | None:
        """The port of this machine at which the service is reached, if there is one."""
        return self.ports[0].published if self.ports else None

    @property
    def may_finish(self) -> bool:
        """Whether its end with exit code 0 is what it was started for, and no failure."""
        return self.job or (self.restart == "no" and not self.checked)

    @property
    def server(self) -> str | None:
        """Which server it is that we know how to talk to: that of x-embedded, or of its image's own name."""
        if self.embedded:
            return self.embedded.engine
        name = (self.image or "").partition("@")[0].rpartition("/")[2].partition(":")[0]
        return next((server for server, names in IMAGES.items() if name in names), None)

    @property
    def migrate(self) -> list[str]:
        """The command that brings its database up to date; empty when it has none."""
        return self.migration("command")

    def migration(self, purpose: xfields.MigrationKey) -> list[str]:
        """Return the command that x-aws names for a purpose; empty when it names none. A job is its own command."""
        match self.aws:
            case Job():
                written = {"command": shlex.join(self.command), **xfields.commands(self.aws.release)}
            case Fargate():
                written = xfields.commands(self.aws.migrate)
            case _:
                written = {}
        return shlex.split(written.get(purpose, ""))


class Stack(msgspec.Struct, frozen=True):
    """The services of one checkout.

    Args:
        name: prefix of everything the stack makes on this machine.
        root: the checkout.
        services: by name, in the order in which they start.
    """

    name: str
    root: Path
    services: dict[str, Service]

    def service(self, name: str) -> Service:
        """Return the service of that name.

        Raises:
            Failure: there is none; the known ones are listed.
        """
        if name not in self.services:
            raise Failure(
                f"There is no service {name!r} in {FILE}.",
                evidence=[f"known: {', '.join(self.services)}"],
                code=ExitCode.USAGE,
            )
        return self.services[name]

    @property
    def watchers(self) -> list[str]:
        """The services that ask for `HEALTH_TARGETS`, by having it in their environment."""
        return [service.name for service in self.services.values() if TARGETS in service.environment]

    def find(self, server: str) -> Service:
        """Return the service that is a server of a kind, postgres or redis; one with x-embedded before others.

        Raises:
            Failure: there is none.
        """
        found = sorted(
            (each for each in self.services.values() if each.server == server), key=lambda each: not each.embedded
        )
        if not found:
            images = ", ".join(sorted(IMAGES[server]))
            raise Failure(
                f"{FILE} has no {server}.",
                evidence=[f"it is recognised by x-embedded: {{engine: {server}}}, or by an image named {images}"],
                next=f"add x-embedded: {{engine: {server}}} to that service, then ./inv up",
                code=ExitCode.PREFLIGHT,
            )
        return found[0]

    def health_targets(self, asking: Collection[str], among: Collection[str], host: Callable[[Service], str]) -> str:
        """Return a value of `HEALTH_TARGETS`: all other services that can be asked for their health.

        Args:
            asking: the services that will read it; none of them asks itself.
            among: the services that run where it does.
            host: gives `host:port` of a service as the asking one reaches it.
        """
        others = (self.services[name] for name in among if self.services[name].health and name not in asking)
        return ",".join(f"{service.name}=http://{host(service)}{service.health}" for service in others)


def load(root: Path, variables: Mapping[str, str]) -> Stack:
    """Read the checkout's `docker-compose.yml`.

    Args:
        root: the checkout.
        variables: what `${NAME}` stands for, where the environment does not say: the values of `.env`.

    Raises:
        Failure: the file is missing, wrong or not the only one; file, key and what was expected are named.
    """
    require_one(root, variables)
    written = read(root / FILE)
    if "include" in written:
        raise elsewhere("include")
    variables = {**variables, **inherited.environment("compose", root)}  # the shell wins, as in Compose
    document = filled(written, variables)
    active = _active(document, variables)
    jobs = _jobs(active)
    services = {
        name: _service(name, entry, written["services"][name] or {}, variables, job=name in jobs)
        for name, entry in active.items()
    }
    for service in services.values():
        if unknown := [name for name in service.depends_on if name not in services]:
            raise wrong(f"services.{service.name}.depends_on", "services of this file", unknown[0])
        if isinstance(service.aws, Fargate | Job) and (
            unknown := [name for name in service.aws.needs if name not in services]
        ):
            raise wrong(f"services.{service.name}.x-aws.needs", "services of this file", unknown[0])
    ordered = {name: services[name] for name in _start_order(services)}
    return Stack(str(document.get("name") or root.name), root, ordered)


def _active(document: dict[str, Any], variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services without those of profiles that nobody asks for (COMPOSE_PROFILES)."""
    asked = {each.strip() for each in variables.get("COMPOSE_PROFILES", "").split(",")}
    found = {}
    for name, written in mapping(document.get("services"), "services").items():
        entry = mapping(written or {}, f"services.{name}")
        profiles = set(entry.get("profiles") or [])
        if not profiles or "*" in asked or profiles & asked:
            found[name] = entry
    for entry in found.values():
        needs = entry.get("depends_on")
        if isinstance(needs, dict):
            optional = {name for name, each in needs.items() if (each or {}).get("required") is False}
            entry["depends_on"] = {name: needs[name] for name in needs if name in found or name not in optional}
    return found


def _jobs(entries: Mapping[str, dict[str, Any]]) -> set[str]:
    """Return the services for whose end another one waits."""
    return {name for entry in entries.values() for name in _awaited(entry)}


def _awaited(entry: Mapping[str, Any]) -> tuple[str, ...]:
    needs = entry.get("depends_on") if isinstance(entry.get("depends_on"), dict) else {}
    conditions = {name: (each or {}).get("condition") for name, each in (needs or {}).items()}
    return tuple(name for name, condition in conditions.items() if condition == "service_completed_successfully")


def _service(
    name: str, entry: dict[str, Any], written: dict[str, Any], variables: Mapping[str, str], *, job: bool
) -> Service:
    at = f"services.{name}"
    if "extends" in entry:
        raise elsewhere(f"{at}.extends")
    xfields.refuse_unknown(entry, at)
    health, embedded = xfields.health(entry, at), xfields.embedded(entry, at)
    for key, path in (("x-health", health), ("x-embedded.ready", embedded and embedded.ready)):
        if path and not entry.get("ports"):
            raise wrong(f"{at}.{key}", "set together with ports: its path is requested at the first port", path)
    return Service(
        name=name,
        image=entry.get("image"),
        build=_build(entry.get("build"), at, variables),
        command=_words(entry.get("command"), at),
        environment=_environment(entry.get("environment"), f"{at}.environment", variables),
        ports=tuple(
            _port(port, raw, f"{at}.ports")
            for port, raw in zip(entry.get("ports") or [], written.get("ports") or [], strict=True)
        ),
        depends_on=tuple(entry.get("depends_on") or ()),
        restart=str(entry.get("restart") or "no"),
        checked=any(entry.get(key) for key in ("ports", "healthcheck", "x-health")),
        job=job,
        health=health,
        embedded=embedded,
        aws=xfields.aws(entry, at),
        jobs=_awaited(entry),
    )


def _build(entry: Any, at: str, variables: Mapping[str, str]) -> Build | None:
    match entry:
        case None:
            return None
        case str():
            return Build(entry)
        case {"context": str(context)}:
            args = _environment(entry.get("args"), f"{at}.args", variables)
            return Build(context, entry.get("dockerfile", "Dockerfile"), args)
    raise wrong(f"{at}.build", "a folder, or a mapping with a context", entry)


def _words(entry: Any, at: str) -> list[str]:
    match entry:
        case None:
            return []
        case str():
            return shlex.split(entry)
        case list():
            return [str(word) for word in entry]
    raise wrong(f"{at}.command", "a string or a list", entry)


def _environment(entry: Any, at: str, variables: Mapping[str, str]) -> dict[str, str]:
    match entry:
        case None:
            return {}
        case dict():
            pairs = list(entry.items())
        case list():
            split = (str(each).partition("=") for each in entry)
            pairs = [(key, value if equals else None) for key, equals, value in split]
        case _:
            raise wrong(at, "a mapping or a list of KEY=value", entry)
    computed = {TARGETS: ""}
    given = {key: variables.get(key, computed.get(key)) if value is None else value for key, value in pairs}
    return {key: _text(value) for key, value in given.items() if value is not None}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


EVERYWHERE = "0.0.0.0"  # noqa: S104 - what Compose does with a port that names no address
PORT = re.compile(r"(?:(?:(?P<address>\[[^]]+\]|[0-9.]+):)?(?P<published>\d+):)?(?P<target>\d+)(?:/tcp)?")


def _port(entry: Any, written: Any, at: str) -> Port:
    expected = "a mapping of one port to one port, such as 127.0.0.1:8000:80"
    if isinstance(entry, dict):
        entry = f"{entry.get('host_ip', EVERYWHERE)}:{entry.get('published', '')}:{entry.get('target')}"
        written = written.get("published")
    found = PORT.fullmatch(str(entry))
    if found is None or found["published"] is None:
        raise wrong(at, expected, entry)
    variable = re.search(r"\$\{?([A-Za-z_]\w*)", str(written))
    return Port(
        target=int(found["target"]),
        published=int(found["published"]),
        address=found["address"] or EVERYWHERE,
        variable=variable[1] if variable else None,
    )


def _start_order(services: Mapping[str, Service]) -> list[str]:
    ordered: list[str] = []
    while len(ordered) < len(services):
        free = [
            name
            for name, service in services.items()
            if name not in ordered and all(needed in ordered for needed in service.depends_on)
        ]
        if not free:
            circle = [name for name in services if name not in ordered]
            raise wrong("services", "free of cycles in depends_on", " -> ".join(circle))
        ordered += free
    return ordered
