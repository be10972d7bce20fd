"""The way to the services of a stack: clients, commands and shells with their environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from stackhand.local.engines.embedded.existing import ExistingPrograms
from stackhand.local.engines.embedded.servers import Program, Server, server_for
from stackhand.local.engines.embedded.servers.base import no_port
from stackhand.local.engines.embedded.servers.postgres import Postgres
from stackhand.local.engines.engine import CONNECT_WITHIN, not_here
from stackhand.local.engines.login import Login, own_settings
from stackhand.project import inherited
from stackhand.project.stack.model import Service
from stackhand.system import program as system_program


class ProgramAccess(ExistingPrograms):
    """Runs programs beside a checkout's services; see `Engine` for the surface."""

    def client(
        self, service: Service, tool: str, database: str, *, login: Login | None = None, interactive: bool = False
    ) -> tuple[list[str], dict[str, str]]:
        """Return how to run one of PostgreSQL's programs against a service; see `Engine.client`."""
        postgres = self._server(service)
        assert isinstance(postgres, Postgres)  # noqa: S101 - the caller chose it for that
        return [postgres.tool(tool)], {
            **inherited.loader(),
            **postgres.connection(login),
            "PGDATABASE": database,
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": str(CONNECT_WITHIN),
            **({} if interactive else {"PGOPTIONS": own_settings(login)}),
        }

    def cache_client(self, service: Service) -> tuple[list[str], dict[str, str]]:
        """Refuse: on this engine a server has a port.

        Raises:
            Failure: naming the line to add.
        """
        raise no_port(service, self.stack.file)

    def run(self, service: Service, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as a service would run it, and return what it said.

        Raises:
            Failure: the service does not run on this engine.
        """
        program, prefix, become = self._as_service(service)
        try:
            return system_program.run(
                [*prefix, *args], environment=program.environment, folder=program.directory, account=become
            )
        except OSError as error:  # a shell and a container have this code for a program that is not there
            return subprocess.CompletedProcess(args, 127, "", f"{args[0]}: {error.strerror}")

    def run_job(self, service: Service, line: Callable[[str], None]) -> int:
        """Run the command of a job's `x-embedded` as the service would run it.

        Raises:
            Failure: the job does not run on this engine.
        """
        program, prefix, become = self._as_service(service)
        try:
            return system_program.follow(
                [*prefix, *program.argv],
                line,
                environment=program.environment,
                folder=program.directory,
                account=become,
            )
        except OSError as error:  # as above
            line(f"{program.argv[0]}: {error.strerror}")
            return 127

    def _as_service(self, service: Service) -> tuple[Program, list[str], dict[str, Any]]:
        """Return a service's program, what its commands begin with, and as whom they run."""
        found = self._server(service)
        program = found.program()
        if program.account is None:
            return program, [], {}
        found.prepare()
        return program, [*program.account.prefix], program.account.arguments()

    def shell(self, service: Service) -> tuple[list[str], dict[str, str], str]:
        """Return a shell of this machine with the service's environment, where it was started.

        Raises:
            Failure: the service does not run on this engine.
        """
        program = self._server(service).program()
        chosen, person = os.environ.get("SHELL") or "/bin/sh", inherited.environment("shell")
        environment = person | program.environment
        if program.account:  # what the service writes into its own home is not to be run by root
            environment |= {name: person[name] for name in ("HOME", "USER", "LOGNAME", "TMPDIR") if name in person}
        return [chosen], environment, program.directory

    def _server(self, service: Service) -> Server:
        current = self.stack.services[service.name]
        if not current.embedded:
            raise not_here(self, service.name)
        return server_for(current, self.stack, self.state)
