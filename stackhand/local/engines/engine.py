"""The one surface of both engines: what the verbs may ask of whatever runs the stack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from subprocess import CompletedProcess
from typing import ClassVar

from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import Line
from stackhand.local.engines.login import Login
from stackhand.local.engines.status import ServiceStatus, Started, StoredData
from stackhand.project.memory import EngineName, HealthQuestion
from stackhand.project.stack.model import Service, Stack
from stackhand.project.state import State
from stackhand.system import ports

ANSWER_WITHIN = 1.6
"""Seconds in which this machine tells how its services are: `./inv status` answers within two, whatever hangs."""
CONNECT_WITHIN = 10
"""Seconds that a program of PostgreSQL waits for a server that lets it in, and does not answer."""


class Engine(ABC):
    """One checkout's stack on one engine.

    Args:
        state: the checkout's `.stackhand`.
        stack: the services; the reading verbs do without and take what was started last.
    """

    name: ClassVar[EngineName]
    asked: ClassVar[str]
    """What is asked for how the services are, in words that stand within a sentence."""

    def __init__(self, state: State, stack: Stack | None = None) -> None:
        self.state = state
        self._stack = stack
        self.notes: list[str] = []
        """What `status` could not ask, or `down` not do, when it was last called, in sentences."""

    @property
    def answer_within(self) -> float:
        """Seconds for all that `status` asks."""
        return ANSWER_WITHIN

    @property
    def stack(self) -> Stack:
        """The current services.

        Raises:
            LookupError: this engine was made without them.
        """
        if self._stack is None:
            raise LookupError("this engine only knows the services that were started last")
        return self._stack

    @abstractmethod
    def services(self) -> list[str]:
        """Return the current services that can run on this engine, in the order of their start."""

    def unsupported(self) -> list[str]:
        """Return the current services that cannot run on this engine."""
        here = self.services()
        return [each.name for each in self.stack.services.values() if each.name not in here and not each.scheduled]

    def advice(self, name: str) -> str:  # noqa: ARG002 - for an engine that needs to be told something
        """Return what to add to a service that does not run on this engine, so that it does."""
        return ""

    def started(self) -> list[str]:
        """Return the services that were started last, in that order."""
        return self.state.read().services

    @abstractmethod
    def status(self) -> list[ServiceStatus]:
        """Return how each service that was started last is now, in that order."""

    @abstractmethod
    def runs(self) -> bool:
        """Whether anything of this checkout runs, healthy or not."""

    def still_running(self) -> bool:
        """Whether anything of this checkout still runs where it was started, whatever is in force since.

        Raises:
            Failure: that cannot be told.
        """
        return self.runs()

    def elsewhere(self) -> str:
        """Return a sentence on what was made on another engine than the one asked now, which has nothing; else nothing.

        Raises:
            Failure: the engine cannot be asked.
        """
        return ""

    def is_unattended(self) -> bool:
        """Whether there is nobody to ask any more who could stop or remove anything."""
        return False

    def give_up_elsewhere(self) -> bool:
        """Ask no more for what `elsewhere` tells of when nobody answers there, and return whether that is so."""
        return False

    @abstractmethod
    def unchanged(self) -> bool:
        """Whether exactly what would be started now runs already, and is healthy."""

    @abstractmethod
    def own_ports(self) -> set[int]:
        """Return the ports at which anything of this checkout listens."""

    @abstractmethod
    def listeners(self) -> dict[str, set[int]]:
        """Return the ports at which the services of this checkout listen, by service."""

    @abstractmethod
    def question(self, name: str) -> HealthQuestion:
        """Return how a service that was started last is asked for its health (see `health.ask`)."""

    def holder(self, port: int) -> str:
        """Return in words who holds a port that is not ours."""
        return str(ports.holder(port))

    @abstractmethod
    def lines(self, name: str, count: int) -> list[Line]:
        """Return the last lines of a service's log."""

    @abstractmethod
    def follow(self, names: Sequence[str]) -> Iterator[Line]:
        """Yield what the services say from now on, until interrupted."""

    @abstractmethod
    def stay_up(self) -> None:
        """Wait until services that nobody can ask have stayed up long enough to count as started.

        Raises:
            Failure: one of them stopped.
        """

    @abstractmethod
    def start(self, timeout: float) -> Iterator[Started]:
        """Start what `prepare` has prepared, in order, and yield each service once it can be used.

        Args:
            timeout: seconds each service has to become healthy.

        Raises:
            Failure: one stopped or did not become healthy in time; its last check and log lines are the evidence.
        """

    @abstractmethod
    def would_start(self) -> list[str]:
        """Return the services that `start` would start: those that do not run as the current settings want them."""

    @abstractmethod
    def restart(self, names: Sequence[str], timeout: float) -> Iterator[Started]:
        """Restart services with the current settings, and yield each once it can be used."""

    @abstractmethod
    def prepare(self, progress: Callable[[str], None]) -> tuple[bool, list[str]]:
        """Have what the services need before they start, and stop what is no longer wanted; tell how far it is.

        Returns:
            Whether anything was done, and a sentence on each thing worth knowing.
        """

    @abstractmethod
    def would_prepare(self) -> bool:
        """Whether `prepare` would do anything."""

    @abstractmethod
    def down(self, *, volumes: bool) -> list[str]:
        """Stop everything of this checkout, remove the data as well if `volumes`, and return the services that ran."""

    @abstractmethod
    def data(self) -> list[StoredData]:
        """Return the folders or volumes that `down` with `volumes` would remove."""

    @abstractmethod
    def used(self) -> bool:
        """Whether this checkout has used this engine, as far as can be told without asking anybody."""

    @abstractmethod
    def start_only(self, service: Service, progress: Callable[[str], None]) -> None:
        """Start the database and nothing else, tell how far it is, and wait until the settings open it."""

    @abstractmethod
    def client(
        self, service: Service, tool: str, database: str, *, login: Login | None = None, interactive: bool = False
    ) -> tuple[list[str], dict[str, str]]:
        """Return how to run one of PostgreSQL's programs against a service, and with which environment.

        Args:
            service: the database.
            tool: psql, pg_dump or pg_restore.
            database: its name.
            login: as whom; the owner of the stack's database without one, and a superuser for `login.SUPERUSER`.
            interactive: whether a person may type into it.
        """

    def execute(self, service: Service, *flags: str, interactive: bool = False) -> list[str]:  # noqa: ARG002
        """Return the beginning of a command that runs in a service's container, with these flags of `docker exec`.

        Raises:
            Failure: it does not run, or in no container.
        """
        what = f"The programs of {service.name} are in its container, and this engine has none."
        raise Failure(what, next="./inv up --engine compose", code=ExitCode.USAGE)

    def revealed(self, service: Service, names: Sequence[str]) -> Service:  # noqa: ARG002
        """Return a service whose variables that are in files (NAME_FILE) have their values, as its image reads them."""
        return service

    @abstractmethod
    def cache_client(self, service: Service) -> tuple[list[str], dict[str, str]]:
        """Return a client of the Redis-protocol server that needs no port of this machine, and its environment."""

    @abstractmethod
    def run(self, service: Service, args: Sequence[str]) -> CompletedProcess[str]:
        """Run a command as a service would run it, and return what it said."""

    @abstractmethod
    def run_job(self, service: Service, line: Callable[[str], None]) -> int:
        """Run a job once by its own command, tell each line that it says, and return its exit code."""

    @abstractmethod
    def shell(self, service: Service) -> tuple[list[str], dict[str, str], str]:
        """Return the command, environment and folder of a shell that stands where a service does."""


def not_here(engine: Engine, service: str, code: ExitCode = ExitCode.USAGE) -> Failure:
    """Return the failure of a verb on a service that does not run on an engine."""
    return Failure(
        f"{service} does not run on this engine: it has no x-embedded.",
        next=f"add x-embedded in {engine.stack.file}, or ./inv up --engine compose",
        code=code,
    )
