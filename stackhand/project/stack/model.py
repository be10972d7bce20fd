"""The resolved Compose files as types: the stack and its services, with what the `x-` fields say about them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection
from ipaddress import ip_address
from pathlib import Path

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.memory import HERE
from stackhand.project.stack import kinds, xaws, xfields
from stackhand.project.stack.kinds import IMAGES, Kind
from stackhand.project.stack.xaws import Fargate, Job, XAws
from stackhand.project.stack.xfields import Embedded

TARGETS = "HEALTH_TARGETS"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - shown


class Port(msgspec.Struct, frozen=True):
    """One entry of `ports`: the container's `target`, reached at `address:published` of this machine."""

    target: int
    published: int | None  # None where the container engine chooses one when it starts the container
    address: str = HERE  # of the interface that it is published on; empty for all of them
    protocol: str = "tcp"  # tcp, udp or sctp

    @property
    def is_open(self) -> bool:
        """Whether other machines reach it: Compose publishes a port on all interfaces, unless it names an address."""
        return self.address != "localhost" and (not self.address or not ip_address(self.address).is_loopback)

    @property
    def host(self) -> str:
        """The address at which this machine reaches it, as it stands in a URL."""
        if not self.address or self.address == "localhost" or ip_address(self.address).is_unspecified:
            return HERE
        return f"[{self.address}]" if ":" in self.address else self.address

    def __str__(self) -> str:
        if self.published is None:
            return f"a port that the engine chooses for {self.target}"
        shown = f"{f'[{self.address}]' if ':' in self.address else self.address or '0.0.0.0'}:{self.published}"  # noqa: S104 - shown
        return shown if self.protocol == "tcp" else f"{shown}/{self.protocol}"


class Build(msgspec.Struct, frozen=True):
    """Where an image is built from, relative to the checkout or a URL, and with which arguments."""

    context: str
    dockerfile: str = "Dockerfile"
    args: dict[str, str] = {}

    @property
    def sources(self) -> str:
        """The folder whose files make the service: that of the Dockerfile, where it has one of its own."""
        folder = Path(self.dockerfile).parent
        return self.context if str(folder) == "." else str(Path(self.context) / folder)


class Service(msgspec.Struct, frozen=True):
    """One entry of `services`."""

    name: str
    image: str | None
    build: Build | None
    command: list[str]
    environment: dict[str, str]
    ports: tuple[Port, ...]
    depends_on: tuple[str, ...]
    restart: str  # whether and when it is started again, in Compose's words
    checked: bool  # whether there is a port, a path or a health check by which to see that it works
    job: bool
    """Whether it runs to its end: a service waits for that (`service_completed_successfully`), or by `deploy.mode`."""
    health: str | None
    embedded: Embedded | None
    aws: XAws | None
    jobs: tuple[str, ...] = ()  # the services for whose end this one waits
    follows: tuple[str, ...] = ()
    """The services with which it is started again (`restart: true`, or a shared namespace)."""
    optional: tuple[str, ...] = ()
    """The services that it does without when they fail (`depends_on` with `required: false`)."""
    replicas: int = 1  # how many containers it has
    exposed: int | None = None  # the first TCP port of `expose`, at which other services reach it
    pre_stop: bool = False  # whether it has commands to run in its container before that is stopped
    binds: dict[str, str] = {}  # folders and files of this machine by where they are in its container
    kind: Kind = "worker"
    """What it is for: a web server, a worker without a port, a job that runs to its end, or a database or cache."""

    @property
    def main_port(self) -> Port | None:
        """The port at which the service is asked for its health, if it has one: the first of TCP."""
        return next((each for each in self.ports if each.protocol == "tcp"), None)

    @property
    def port(self) -> int | None:
        """The port of this machine at which the service is reached, if it is known before the start."""
        return self.main_port.published if self.main_port else None

    @property
    def inner_port(self) -> int | None:
        """The port at which other containers reach it, if it names one."""
        return self.main_port.target if self.main_port else self.exposed

    @property
    def may_finish(self) -> bool:
        """Whether its end with exit code 0 is what it was started for, and no failure."""
        return self.job or (self.restart == "no" and not self.checked)

    @property
    def scheduled(self) -> str:
        """When it runs by itself on AWS, where only that starts it; empty for what `up` starts."""
        return "" if self.job or not isinstance(self.aws, Job) else self.aws.schedule or ""

    @property
    def server(self) -> str | None:
        """Which server it is that we know how to talk to: that of x-embedded, or of its image's own name."""
        if self.embedded:
            return self.embedded.engine
        return kinds.server_of(self.image)

    @property
    def migrate(self) -> list[str]:
        """The command that brings its database up to date; empty when it has none."""
        return self.migration("command")

    def migration(self, purpose: xfields.MigrationKey) -> list[str]:
        """Return the command that x-aws names for a purpose; empty when it names none. A job is its own command."""
        match self.aws:
            case Job() if self.aws.release:
                written = {"command": shlex.join(self.command), **xaws.commands(self.aws.release)}
            case Fargate():
                written = xaws.commands(self.aws.release)
            case _:
                written = {}
        return shlex.split(written.get(purpose, ""))


class Stack(msgspec.Struct, frozen=True):
    """The services of one checkout."""

    name: str  # prefix of everything the stack makes on this machine
    root: Path
    services: dict[str, Service]  # by name, in the order in which they start
    file: str = "docker-compose.yml"  # what messages call the Compose files
    test: tuple[str, ...] = ()  # the words of the command that tests it

    def service(self, name: str) -> Service:
        """Return the service of that name.

        Raises:
            Failure: there is none; the known ones are listed.
        """
        if name not in self.services:
            raise Failure(
                f"There is no service {name!r} in {self.file}.",
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
        candidates = sorted(
            (each for each in self.services.values() if each.server == server), key=lambda each: not each.embedded
        )
        if not candidates:
            images = ", ".join(sorted(IMAGES[server]))
            raise Failure(
                f"{self.file} has no {server}.",
                evidence=[f"it is recognised by x-embedded: {{engine: {server}}}, or by an image named {images}"],
                next=f"add x-embedded: {{engine: {server}}} to that service, then ./inv up",
                code=ExitCode.PREFLIGHT,
            )
        return candidates[0]

    def followers(self, names: Collection[str]) -> list[str]:
        """Return the services that are started again when these are, without them, in the order of their start."""
        followers = set(names)
        for service in self.services.values():  # each comes behind those that it follows
            if followers & {*service.follows}:
                followers.add(service.name)
        return [name for name in self.services if name in followers and name not in names]

    def needs(self) -> dict[str, list[str]]:
        """Return the services, each with all that it needs: a job between two of them is over when they stop."""
        needs: dict[str, list[str]] = {}
        for name, service in self.services.items():  # in the order of their start
            needs[name] = sorted({*service.depends_on}.union(*(needs.get(each, ()) for each in service.depends_on)))
        return needs

    @property
    def dispensable(self) -> set[str]:
        """The services whose failure keeps no other one from its start, though some wait for them."""
        required = {each for service in self.services.values() for each in {*service.depends_on} - {*service.optional}}
        return {each for service in self.services.values() for each in service.optional} - required

    def health_targets(self, asking: Collection[str], among: Collection[str], host: Callable[[Service], str]) -> str:
        """Return a value of `HEALTH_TARGETS`: all other services that can be asked for their health.

        Args:
            asking: the services that will read it; none of them asks itself.
            among: the services that run where it does.
            host: gives `host:port` of a service as the asking one reaches it.
        """
        others = (self.services[name] for name in among if self.services[name].health and name not in asking)
        return ",".join(f"{service.name}=http://{host(service)}{service.health}" for service in others)
