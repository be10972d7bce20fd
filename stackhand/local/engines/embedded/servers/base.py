"""What all servers of the embedded engine have in common."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines import damage
from stackhand.local.engines.embedded import accounts, folders
from stackhand.local.engines.embedded.accounts import Account
from stackhand.project import inherited
from stackhand.project.memory import HealthQuestion
from stackhand.project.stack import addresses
from stackhand.project.stack.model import TARGETS, Service, Stack
from stackhand.project.state import State

PORTS = {"postgres": 5432, "redis": 6379, "nginx": 80}
"""Where the servers listen in their containers."""


class Program(msgspec.Struct, kw_only=True):
    """A service as launch.py runs it and as the reading verbs find it: services/NAME.json.

    Args:
        name: the service.
        argv: the program and its arguments.
        environment: all variables it gets; nothing is inherited, but for where shared libraries are.
        directory: where it starts.
        question: how `health.ask` asks whether it lives.
        ready: how `up` asks whether it can be used.
        address: where people reach it: a URL, or host:port.
        ports: the ports it must listen at.
        stop_signal: what ends it in peace, without SIG.
        umask: of the files it makes.
        account: see launch.py; None is ours.
        files: configuration it reads, by path; written before it starts, where it can read and not write.
        may_finish: whether it is done when it exits with 0.
        job: whether it is to be waited for until then.
        restart: Compose's word for whether and when it is started again.
        fingerprint: changes when any of this does, or its source code.
        record: where it notes down its process.
    """

    name: str
    argv: list[str]
    environment: dict[str, str]
    directory: str
    question: HealthQuestion
    ready: HealthQuestion
    address: str
    ports: list[int]
    stop_signal: str = "TERM"
    umask: int = 0o022
    account: Account | None = None
    files: dict[str, str] = {}
    may_finish: bool = False
    job: bool = False
    restart: str = "no"
    fingerprint: str = ""
    record: str = ""

    def options(self, stop_within: float) -> dict[str, str]:
        """Return what supervisord is told of it: for what may finish, an end within a second is none too soon."""
        options = {"stopsignal": self.stop_signal, "stopwaitsecs": f"{stop_within:.0f}"}
        if self.may_finish:
            again = "false" if self.restart == "no" else "unexpected"
            options |= {"autorestart": again, "exitcodes": "0", "startsecs": "0"}
        return options


class Server(ABC):
    """One service of a stack on the embedded engine; `state` is the checkout's `.stackhand`."""

    def __init__(self, service: Service, stack: Stack, state: State) -> None:
        assert service.embedded is not None  # noqa: S101 - see server_for
        self.service = service
        self.embedded = service.embedded
        self.stack = stack
        self.state = state
        self.data = state.data / service.name
        self.configuration = state.config / service.name

    @abstractmethod
    def program(self) -> Program:
        """Return the program that is the service; changes nothing."""

    def prepare(self) -> list[str]:
        """Make what the program needs before it starts, its folder first.

        Returns:
            A sentence on each thing worth knowing: first, that the account has a right of root's.
        """
        folders.make(self.data, self.owner)
        return self.let_through()

    def reconcile(self) -> list[str]:
        """Bring the running service in line with the settings; return a sentence on each thing changed."""
        return []

    def will_pass(self, lines: Sequence[str]) -> bool:  # noqa: ARG002 - for those who know their server better
        """Whether the next try may succeed, going by what the program said before it exited."""
        return False

    def remedy(self, lines: Sequence[str]) -> str:
        """Return what to do about a program that stopped, going by what it said."""
        if damage.disk_full(lines):
            return f"free space on the disk of {self.state.data}, then ./inv up"
        return f"fix it, then ./inv up (full log: ./inv logs {self.service.name})"

    def hints(self, lines: Sequence[str]) -> list[str]:  # noqa: ARG002 - for those who know their server better
        """Return further ways to fix a program that stopped, going by what it said."""
        return []

    def move_away(self) -> str:
        """Return the command that keeps a damaged data folder and makes room for a new one."""
        return f"mv {self.data} {_unused(self.data)}, then ./inv up"

    @property
    def port(self) -> int:
        """The port it listens at.

        Raises:
            Failure: docker-compose.yml publishes none.
        """
        if self.service.port is None:
            raise no_port(self.service, self.stack.file)
        return self.service.port

    named = False
    """Whether its account must be one that has a name."""

    @cached_property
    def owner(self) -> Account | None:
        """The account that runs its program and owns its data; None is ours."""
        own = (self.state.data, self.state.sockets, self.state.config)
        return accounts.choose(self.data, (*own, *self.needed()), self._number())

    @abstractmethod
    def needed(self) -> Iterable[Path]:
        """Return what that account has to reach besides the folders of all services."""

    def _number(self) -> int | None:
        """Return the number of the account, where it needs no name; only root has one to give."""
        if self.named or os.getuid() != 0:
            return None
        services = [each.name for each in self.stack.services.values() if each.embedded]
        return accounts.numbers(self.state.root, self.state.data, services)[self.service.name]

    def let_through(self) -> list[str]:
        """Return a sentence when the account has a right of root's."""
        if self.owner is None or not self.owner.blocked:
            return []
        return [f"{self.service.name} runs as {self.owner.name}, with permission to traverse {self.owner.blocked}"]

    def variables(self) -> dict[str, str]:
        """Return the service's environment with the addresses of its neighbours as they are on this machine."""
        variables = dict(self.service.environment)
        if TARGETS in variables:
            here = [each.name for each in self.stack.services.values() if each.embedded]
            variables[TARGETS] = self.stack.health_targets(
                [self.service.name], here, lambda other: f"127.0.0.1:{other.port}"
            )
        given = self.embedded.environment
        return self._with_hosts(variables) | {key: str(value) for key, value in given.items()}

    def _with_hosts(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return variables with addresses of this machine, also where a neighbour's name and port are two of them."""
        here = {key: self.localised(value) for key, value in variables.items()}
        for other in self.stack.services.values():
            port = other.main_port
            for key in (each for each, value in variables.items() if addresses.is_host(each, value, other.name)):
                here[key] = "127.0.0.1"
                beside = re.sub(r"HOST(?:NAME)?$", "PORT", key)
                if port and port.published and variables.get(beside) == str(port.target):
                    here[beside] = str(port.published)
        return here

    def localised(self, value: str) -> str:
        """Return a value with `neighbour:port` replaced by where that neighbour listens on this machine."""
        engines = {each.name: each.embedded.engine for each in self.stack.services.values() if each.embedded}
        usual = {name: PORTS[engine] for name, engine in engines.items() if engine in {"postgres", "redis"}}
        value = addresses.with_ports(value, usual)
        for other in self.stack.services.values():
            for port in (each for each in other.ports if each.published):
                address = re.compile(rf"(?<![\w.-]){re.escape(other.name)}:{port.target}(?!\d)")
                value = address.sub(f"127.0.0.1:{port.published}", value)
        return value

    def finished(self, program: Program) -> Program:
        """Return the program with its fingerprint, the place of its record, and where shared libraries are.

        Those are no part of the fingerprint: a shell with another module loaded is no reason to restart a database.
        """
        content = msgspec.to_builtins(program)
        whole = json.dumps(content, sort_keys=True) + self.sources()
        program.fingerprint = self.state.keyed(whole.encode())[:16]
        program.record = str(self.state.run / f"{program.name}.json")
        program.environment = inherited.loader() | program.environment
        return program

    def sources(self) -> str:
        """Return a digest of the source code that a running program would not notice to have changed."""
        return ""


def no_port(service: Service, file: str) -> Failure:
    """Return the failure of a server without a port: here its neighbours reach it at one of this machine."""
    engine = str(service.embedded and service.embedded.engine)
    port = PORTS.get(engine, 8000)
    variable = re.sub(r"[^A-Z0-9]", "_", service.name.upper())
    return Failure(
        f"{file}: services.{service.name} needs ports: other services reach it there on this engine.",
        next=f'add ports: ["127.0.0.1:${{{variable}_PORT:-{port}}}:{port}"]; or ./inv up --engine compose',
        code=ExitCode.PREFLIGHT,
    )


def packaged(package: str, pattern: str, *fallbacks: str) -> Path:
    """Return a program that a wheel brought along, or else one of those on PATH.

    Args:
        package: the wheel's Python package, which is not imported.
        pattern: where the program is in it.
        fallbacks: names to look for on PATH, for platforms without a wheel.

    Raises:
        Failure: there is neither.
    """
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or [] if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            return path
    for found in filter(None, map(shutil.which, fallbacks)):
        return Path(found)
    raise Failure(
        f"The package {package} has no program for this platform, and PATH lacks: {', '.join(fallbacks)}.",
        next=f"install {fallbacks[0] if fallbacks else package}, or start a container engine and use --engine compose",
        code=ExitCode.PREFLIGHT,
    )


def installed(program: Path) -> Path:
    """Return the folder that a program needs, with its libraries: all packages, or where it lies itself."""
    return next((each for each in program.parents if each.name in {"site-packages", "dist-packages"}), program.parent)


def digest_of(files: Iterable[Path]) -> str:
    """Return a digest of names, sizes and times of change: quick, and good enough to see an edit."""
    lines = []
    for path in sorted(files):
        status = path.stat()
        lines.append(f"{path}:{status.st_size}:{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _unused(folder: Path) -> Path:
    """Return where a folder can be moved: mv would put it into one that is there already."""
    names = (folder.with_name(f"{folder.name}.damaged{number}") for number in ("", *range(2, 1000)))
    return next(path for path in names if not path.exists())
