"""The way into the containers of a stack: commands, clients and shells."""

from __future__ import annotations

import subprocess
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker
from stackhand.local.engines import login
from stackhand.local.engines.compose import containers, superuser
from stackhand.local.engines.compose.existing import ExistingContainers
from stackhand.local.engines.engine import CONNECT_WITHIN
from stackhand.local.engines.login import SUPERUSER, Login, own_settings, wanted
from stackhand.project import inherited
from stackhand.project.stack.model import Service, Stack
from stackhand.project.state import State
from stackhand.system import program

TAIL = 5
READ = 'for file; do cat "$file" && printf "\\0" || exit 1; done'


class ContainerAccess(ExistingContainers):
    """Runs programs in a checkout's containers; see `Engine` for the surface."""

    def __init__(self, state: State, stack: Stack | None = None) -> None:
        super().__init__(state, stack)
        self._superusers: dict[str, str] = {}

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return what Compose needs to know beyond `.env`."""

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
        one_off = ["docker", "compose", "--progress", "quiet", "run", "--rm", "--no-deps", "-T", service.name]
        environment = docker.compose_environment() | self.environment()
        return program.run([*one_off, *args], environment=environment, folder=self.state.root)

    def run_job(self, service: Service, line: Callable[[str], None]) -> int:
        """Run a job in a container of its own, which is removed at its end."""
        args = ["docker", "compose", "--progress", "quiet", "run", "--rm", "--no-deps", "-T", service.name]
        environment = docker.compose_environment() | self.environment()
        return program.follow(args, line, environment=environment, folder=self.state.root)

    def shell(self, service: Service) -> tuple[list[str], dict[str, str], str]:
        """Return a shell in the service's container."""
        return [*self.execute(service, interactive=True), "sh"], inherited.environment("docker"), str(self.state.root)


def _terminal() -> list[str]:
    """Return the flag for a command that a person types into."""
    streams = (sys.stdin, sys.stdout)  # Ansible's workers have closed theirs
    return ["--tty"] if all(each and not each.closed and each.isatty() for each in streams) else []
