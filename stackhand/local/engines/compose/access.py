"""The containers of a stack: what runs, answers, logs and keeps; and the way in, for commands, clients and shells."""

from __future__ import annotations

import subprocess
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from stackhand.cli import loglines
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import Line
from stackhand.containers import docker, endpoint, listing
from stackhand.containers.endpoint import Unavailable
from stackhand.containers.listing import Container
from stackhand.local.engines import health, login
from stackhand.local.engines.compose import containers, status, superuser, volumes
from stackhand.local.engines.engine import CONNECT_WITHIN, Engine
from stackhand.local.engines.login import SUPERUSER, Login, own_settings, wanted
from stackhand.local.engines.status import ServiceStatus, StoredData
from stackhand.project import inherited
from stackhand.project.memory import HealthQuestion, Served
from stackhand.project.stack.model import Service, Stack
from stackhand.project.state import State
from stackhand.system import program, waiting

TAIL = 5
READ = 'for file; do cat "$file" && printf "\\0" || exit 1; done'
ONE_OFF = ("docker", "compose", "--progress", "quiet", "run", "--rm", "--no-deps", "-T")
"""Runs the command of a service, or another one, in a container that is removed at its end."""


class ContainerAccess(Engine):
    """One checkout's containers, by the labels that Compose gave them; see `Engine` for the surface."""

    def __init__(self, state: State, stack: Stack | None = None) -> None:
        super().__init__(state, stack)
        self._superusers: dict[str, str] = {}

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return what Compose needs to know beyond `.env`."""

    def compose_environment(self) -> dict[str, str]:
        """Return the environment for a command of Compose."""
        return inherited.environment("compose") | self.environment()

    @property
    def project(self) -> str:
        """The name of the Compose project: the stack's, or that of the containers and volumes made last."""
        return self._stack.name if self._stack else volumes.project(self.state)

    @property
    def answer_within(self) -> float:
        """Seconds for all that `status` asks: more where a network is in between."""
        return docker.REMOTE_WITHIN if endpoint.is_remote(endpoint.address()) else super().answer_within

    def replicas(self) -> dict[str, list[Container]]:
        """Return the containers of this stack by service.

        Raises:
            Failure: the container engine cannot be asked; why is told.
        """
        return listing.containers(self.project) if self.project else {}

    def containers(self) -> dict[str, Container]:
        """Return a container of each service, that which is best off; raises as `replicas` does."""
        return {name: containers.best(replicas) for name, replicas in self.replicas().items()}

    def status(self) -> list[ServiceStatus]:
        """Return how each container is, and what the service in it answers at its published port."""
        containers, known = self.replicas(), self.state.read().served
        served = {name: known.get(name, Served()) for name in self.started()}
        calls = {name: partial(status.of, name, containers.get(name, ()), each) for name, each in served.items()}
        answers = waiting.gather(calls, health.ALL_WITHIN)
        late = {
            name: status.late(name, containers.get(name, ()), each)
            for name, each in served.items()
            if name not in answers
        }
        return list((late | answers).values())

    def runs(self) -> bool:
        """Whether there is any container of this stack, running or not."""
        return bool(self.project and listing.listed(self.project))

    def still_running(self) -> bool:
        """Whether there is any container where it was made; see `Engine.still_running`.

        The docker command may ask another engine by now, and what does not answer may run all the same: only a socket
        of this machine at which no process listens says that nothing runs.
        """
        where = volumes.awaited(self.state)
        if where == endpoint.address():
            where = ""  # asked as the settings say, with the certificates of a context
        try:
            return bool(self.project and listing.listed(self.project, where))
        except Unavailable as error:
            if error.stopped and (not where or error.address == where):
                return False
            raise

    def elsewhere(self) -> str:
        """Return a sentence on containers and volumes of another container engine; see `Engine.elsewhere`."""
        where, here = self.state.read().compose.host, endpoint.address()
        if where in {"", here}:
            return ""
        if not self.is_unattended() and (self.runs() or self.volumes()):  # one engine may have two addresses
            return ""
        return f"the containers and volumes of {self.project} were created on {where}, but docker now uses {here}"

    def is_unattended(self) -> bool:
        """Whether no container engine is in force any more, and another one had the containers."""
        here = endpoint.address()
        return self.state.read().compose.host not in {"", here} and endpoint.is_vacant(here)

    def give_up_elsewhere(self) -> bool:
        """Let an engine go that does not answer; see `Engine.give_up_elsewhere`."""
        try:
            self.still_running()
        except Unavailable:
            with self.state.edit() as memory:
                memory.compose = msgspec.structs.replace(memory.compose, given_up=True)
            return True
        return False

    def own_ports(self) -> set[int]:
        """Return the ports that the running containers publish."""
        return set().union(*self.listeners().values())

    def listeners(self) -> dict[str, set[int]]:
        """Return the ports that the containers publish, by service."""
        return {
            name: {port for each in replicas for port in containers.published(each)}
            for name, replicas in self.replicas().items()
        }

    def holder(self, port: int) -> str:
        """Return in words who holds a port: a container, by name, or a process."""
        return listing.publisher(port) or super().holder(port)

    def question(self, name: str) -> HealthQuestion:
        """Return how a service that was started last is asked for its health."""
        served = self.state.read().served.get(name, Served())
        return status.bound(served, self.containers().get(name) if served.target else None).question

    def lines(self, name: str, count: int) -> list[Line]:
        """Return the last lines of the logs of a service's containers, with the times the engine noted."""
        replicas = self.replicas().get(name, [])
        return loglines.merged([containers.log(containers.name_of(each), name, count) for each in replicas])[-count:]

    def follow(self, names: Sequence[str]) -> Iterator[Line]:
        """Yield what the containers say from now on, until interrupted."""
        running = self.replicas()
        return containers.follow({containers.name_of(each): name for name in names for each in running.get(name, ())})

    def volumes(self) -> list[str]:
        """Return the names of this stack's volumes; raises as `containers` does."""
        if not self.project:  # nothing was started yet, or `down` has removed it all
            return []
        label = f"label={containers.PROJECT}={self.project}"
        return docker.run("volume", "ls", "--quiet", "--filter", label).stdout.split()

    def data(self) -> list[StoredData]:
        """Return the volumes of this stack."""
        return volumes.described(self.volumes())

    def used(self) -> bool:
        """Whether containers and volumes of this checkout were made here."""
        return volumes.remembered(self.state)

    def config(self, *flags: str) -> str:
        """Return what Compose makes of its file.

        Raises:
            Failure: it does not accept the file; why is told.
        """
        args = ("compose", "config", *flags)
        return docker.run(*args, environment=self.compose_environment(), folder=self.state.root).stdout

    def execute(self, service: Service, *flags: str, interactive: bool = False) -> list[str]:
        """Return the beginning of a command that runs in a service's container; see `Engine.execute`."""
        container = self.containers().get(service.name)
        if service.job and container and container["State"]["Status"] == "exited":
            raise Failure(
                f"{service.name} is a job and has run to its end ({containers.summary(container)}): nothing runs.",
                next=f"./inv restart {service.name} runs it again; ./inv logs {service.name} shows what it reported",
                code=ExitCode.UNHEALTHY,
            )
        if container is None or container["State"]["Status"] != "running":
            raise Failure(f"{service.name} is not running.", next="./inv up", code=ExitCode.UNHEALTHY)
        terminal = _terminal() if interactive else []
        return ["docker", "exec", "--interactive", *terminal, *flags, containers.name_of(container)]

    def revealed(self, service: Service, names: Sequence[str]) -> Service:
        """Read the files of variables in the container, where the image reads them; see `Engine.revealed`."""
        files = {name: path for name in names if (path := service.environment.get(f"{name}_FILE"))}
        if not files:
            return service
        done = program.run(
            [*self.execute(service), "sh", "-c", READ, "sh", *files.values()],
            environment=inherited.environment("docker"),
        )
        values = done.stdout.split("\0")[:-1]
        if done.returncode != 0 or len(values) != len(files):
            raise Failure(
                f"{service.name} has no readable {', '.join(files.values())}.",
                evidence=done.stderr.splitlines()[-TAIL:],
                next=f"./inv logs {service.name}",
            )
        read = {name: value.rstrip("\n") for name, value in zip(files, values, strict=True)}
        return msgspec.structs.replace(service, environment={**service.environment, **read})

    def client(
        self, service: Service, tool: str, database: str, *, login: Login | None = None, interactive: bool = False
    ) -> tuple[list[str], dict[str, str]]:
        """Return how to run one of PostgreSQL's programs in the container; its superuser has the socket only."""
        user, password, _ = wanted(service)
        host = "127.0.0.1"
        if login == SUPERUSER:
            user, host = self._superuser(service, user)
        elif login:
            user, password = login.user, login.password
        port = service.main_port.target if service.main_port else 5432
        settings = (
            *(f"PGHOST={host}", f"PGPORT={port}", f"PGUSER={user}", f"PGDATABASE={database}", "PGPASSWORD"),
            *("PGCLIENTENCODING=UTF8", f"PGCONNECT_TIMEOUT={CONNECT_WITHIN}"),
            *([] if interactive else [f"PGOPTIONS={own_settings(login)}"]),
        )
        args = [word for setting in settings for word in ("--env", setting)]
        return [*self.execute(service, *args, interactive=interactive), tool], inherited.environment(
            "docker", PGPASSWORD=password
        )

    def _superuser(self, service: Service, user: str) -> tuple[str, str]:
        """Return a superuser, and where it is let in: at the socket, where it is not the role of the settings."""
        if service.name not in self._superusers:
            self._superusers[service.name] = superuser.find(*self.client(service, "psql", "postgres"), user)
        login = self._superusers[service.name]
        return login, "127.0.0.1" if login == user else superuser.SOCKET

    def cache_client(self, service: Service) -> tuple[list[str], dict[str, str]]:
        """Return the client that is in the container."""
        script = 'exec "$(command -v valkey-cli || command -v redis-cli)"'
        args = self.execute(service, "--env", "REDISCLI_AUTH", interactive=True)
        return [*args, "sh", "-c", script], inherited.environment("docker", REDISCLI_AUTH=login.of_cache(service))

    def run(self, service: Service, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, and return what it said; that of a job has ended, so in a new one."""
        if not service.job:
            return program.run([*self.execute(service), *args], environment=inherited.environment("docker"))
        one_off = [*ONE_OFF, service.name, *args]
        return program.run(one_off, environment=self.compose_environment(), folder=self.state.root)

    def run_job(self, service: Service, line: Callable[[str], None]) -> int:
        """Run a job in a container of its own, which is removed at its end."""
        one_off = [*ONE_OFF, service.name]
        return program.follow(one_off, line, environment=self.compose_environment(), folder=self.state.root)

    def shell(self, service: Service) -> tuple[list[str], dict[str, str], str]:
        """Return a shell in the service's container."""
        return [*self.execute(service, interactive=True), "sh"], inherited.environment("docker"), str(self.state.root)


def _terminal() -> list[str]:
    """Return the flag for a command that a person types into."""
    streams = (sys.stdin, sys.stdout)  # Ansible's workers have closed theirs
    return ["--tty"] if all(each and not each.closed and each.isatty() for each in streams) else []
