"""The volume of PostgreSQL: it keeps role, password and database of the day it was made, whatever `.env` says since."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker, images
from stackhand.local.engines import login
from stackhand.local.engines.compose import containers, failures, gate, superuser, volumes
from stackhand.local.engines.login import UNTRIGGERED
from stackhand.project import inherited
from stackhand.project.memory import DatabaseVolume, Memory
from stackhand.project.stack.model import Service
from stackhand.system import program

if TYPE_CHECKING:
    from stackhand.local.engines.compose.engine import Compose

HEALTHY_WITHIN = 60.0
RULE = "host all all all scram-sha-256"
RULES = "SELECT count(*) FROM pg_hba_file_rules WHERE type LIKE 'host%' AND address = 'all'"
DOCKERS_OWN = 125  # the first of the exit codes that `docker exec` has for itself
FIRST_OF_USERS = 16384  # FirstNormalObjectId: databases and files from here on are no work of initdb
NEVER_SERVED = f"""
cd "$1" && [ -e PG_VERSION ] || exit 0
for each in postmaster.opts backup_label recovery.signal standby.signal pg_tblspc/*; do
    [ ! -e "$each" ] || exit 0
done
for each in base/*/*; do
    database="${{each#base/}}" file="${{each##*/}}"
    for number in "${{database%%[!0-9]*}}" "${{file%%[!0-9]*}}"; do
        [ "${{number:-0}}" -lt {FIRST_OF_USERS} ] || exit 0
    done
done
echo never
"""
"""Says `never` of a data folder whose making was interrupted.

A server writes postmaster.opts when it starts, and initdb does not; but nor has a backup that file, or what somebody
has copied here, and those have a label, or databases and files of a user.
"""


class ComposeDatabase:
    """A database of a stack in containers, to be brought in line with the settings.

    The key is that of what is remembered of it; the only one has none.
    """

    def __init__(self, engine: Compose, service: Service, key: str = "") -> None:
        self._engine = engine
        self._args: dict[str, list[str]] = {}
        self._service = service
        self._key = key

    @classmethod
    def all_of(cls, engine: Compose) -> list[ComposeDatabase]:
        """Return the databases whose login follows the settings.

        That is what x-embedded declares: roles and volumes of another image are its owner's, and are not changed. Nor
        are those whose password is in a file of the container, and in no setting.
        """
        databases = [
            each
            for each in engine.stack.services.values()
            if each.embedded and each.server == "postgres" and "POSTGRES_PASSWORD" in each.environment
        ]
        return [cls(engine, each, each.name if len(databases) > 1 else "") for each in databases]

    def _volume_of(self, memory: Memory) -> DatabaseVolume:
        """Return what is remembered of its volume, to be read or changed."""
        return memory.databases.setdefault(self._key, DatabaseVolume()) if self._key else memory

    def login(self) -> str:
        """Return a digest of what the settings log in with, and with which rights."""
        return f"{login.fingerprint(self._service, self._engine.state)} {login.OF_AN_OWNER}"

    def remember(self) -> None:
        """Remember that the volume has the login of the settings, as a start that came to its end has shown."""
        digest = self.login()
        with self._engine.state.edit() as memory:
            self._volume_of(memory).login = digest

    def must_reconcile(self) -> bool:
        """Whether the volume may know another role, password or database than the settings, or is not there (yet)."""
        known = self._volume_of(self._engine.state.read())
        if known.login != self.login() or known.superuser == login.wanted(self._service)[0]:
            return True
        return bool(known.volume) and known.volume not in self._engine.volumes()

    def reconcile(self, progress: Callable[[str], None]) -> list[str]:
        """Bring a volume in line with the settings, before anything else starts and waits for it in vain.

        Returns:
            A sentence on each thing that was done, but for what every new volume needs.

        Raises:
            Failure: PostgreSQL does not start, or the volume knows no role that we know.
        """
        if not self.must_reconcile():
            return []
        volume, notes = self._volume(), []
        if self._remove_half_made(volume):
            notes.append(
                f"{self._service.name} was interrupted while it first created its data folder; it is created again"
            )
        new = volume is not None and volume not in self._engine.volumes()
        progress(f"starting {self._service.name} to {'make' if new else 'compare'} its role and password")
        self.start()
        with self._engine.state.edit() as memory:
            self._volume_of(memory).volume = volume
        return [*notes, *self._follow(new=new)]

    def _follow(self, *, new: bool) -> list[str]:
        """Make role, password and database those of the settings, and the role no more than their owner."""
        user, _, database = login.wanted(self._service)
        facts = self._facts()
        role, done = facts.superuser, []
        if self._refused() == login.NOT_LET_IN and self._sql(role, RULES) == "0":
            self._let_in(role)
            done.append("the first start was interrupted before it let the network in; it does now")
        able = facts.version >= superuser.FIRST
        if able:
            role, failed = superuser.separate(self._service, facts, self._sql)
            done += failed
        # Where it is still the role of the settings, and need not be, the next `up` tries again.
        with self._engine.state.edit() as memory:
            self._volume_of(memory).superuser = role if able and user != superuser.KEPT else None

        def query(statement: str, *, where: str = "postgres") -> list[list[str]]:
            return [[row] for row in self._sql(role, statement, where).splitlines()]

        told = []
        if role != facts.superuser:
            told.append(login.demoted(self._service))
        if why := self._refused():
            rights = login.OF_AN_OWNER if able and role != user else login.OF_THE_IMAGE
            told += login.follow(self._service, why, rights, query)
        if able:
            told += login.own(self._service, partial(query, where=database))
        own = [f"{self._service.name}: {each}" for each in done]
        return [*own, *([] if new else told)]

    def start(self) -> None:
        """Start the server alone, and wait until it can be used."""
        self._engine.compose("up", "--detach", "--no-deps", self._service.name)
        self._await()

    def _await(self) -> None:
        """Wait for the server itself; whether it lets anybody in is another question."""
        deadline = time.monotonic() + HEALTHY_WITHIN
        while True:
            container = self._engine.containers().get(self._service.name)
            if container and containers.healthy(container):
                return
            if container and (containers.exited(container) or container["RestartCount"] >= containers.CRASHES):
                what = f"stopped while it started: {containers.summary(container)}"
                raise failures.failure(self._service.name, container, what)
            if time.monotonic() > deadline:
                if container is None:
                    raise Failure(f"{self._service.name} has no container.", next="./inv up", code=ExitCode.UNHEALTHY)
                raise failures.failure(self._service.name, container, "did not become healthy in time")
            time.sleep(gate.POLL)

    def _refused(self) -> str | None:
        """Return why the settings do not log in, as the stack's services would; see `login.refused`.

        Without a port of this machine psql asks in the container, at its address on the network: at 127.0.0.1 the image
        wants no password.

        Raises:
            Failure: psql met something else, or what answers at the port is not the stack's server.
        """
        if self._service.port is not None:
            try:
                return login.refused(self._service, any_version=True)
            except ConnectionError as error:
                what, seen = f"{self._service.name} stopped answering right after its start.", [str(error)]
                raise Failure(
                    what, evidence=seen, next=f"./inv logs {self._service.name}", code=ExitCode.UNHEALTHY
                ) from error
        user, password, database = login.wanted(self._service)
        networks = self._engine.containers()[self._service.name]["NetworkSettings"]["Networks"].values()
        address = next((each["IPAddress"] for each in networks if each["IPAddress"]), "127.0.0.1")
        settings = ("--env", "PGPASSWORD", "--env", "PGCONNECT_TIMEOUT=5")
        asked = ["psql", "-XqAt", "-h", address, "-U", user, "-d", database, "-c", "SELECT 1"]
        args = [*self._engine.execute(self._service, *settings), *asked]
        done = program.run(args, environment=inherited.environment("docker", PGPASSWORD=password))
        if done.returncode == 0:
            return None
        for code, pattern in login.REFUSALS.items():
            if re.search(pattern, done.stderr):
                return code
        raise docker.error_of(("exec", "psql"), done.returncode, done.stderr)

    def _let_in(self, superuser: str) -> None:
        """Write the rule that the image writes last into a new volume, and have it read."""
        append = f'echo "{RULE}" >>"$PGDATA/pg_hba.conf"'
        docker.run(*self._engine.execute(self._service)[1:], "sh", "-c", append)
        self._sql(superuser, "SELECT pg_reload_conf()")
        deadline = time.monotonic() + 5.0
        while self._refused() == login.NOT_LET_IN and time.monotonic() < deadline:
            time.sleep(gate.POLL)

    def _remove_half_made(self, volume: str | None) -> bool:
        """Remove its volume when no server has ever run on it, which its own files show; return whether it did."""
        if volume is None or volume not in self._engine.volumes():
            return False
        image = images.image_of(self._service, self._engine.stack)
        look = ["--rm", "--volume", f"{volume}:/data:ro", "--user", "0", "--entrypoint", "sh", image]
        if docker.run("run", *look, "-c", NEVER_SERVED, "sh", "/data").stdout.strip() != "never":
            return False
        if container := self._engine.containers().get(self._service.name):
            docker.run("rm", "--force", container["Id"])
        docker.run("volume", "rm", volume)
        return True

    def _volume(self) -> str | None:
        """Return the volume that the service has its data folder in, and nothing else; None when that is not sure."""
        document = json.loads(self._engine.config("--format", "json"))
        name = images.image_of(self._service, self._engine.stack)
        image = json.loads(docker.run("image", "inspect", "--format", "{{json .Config.Env}}", name).stdout) or []
        own = [f"{key}={value}" for key, value in self._service.environment.items()]
        return volumes.own_volume(document, self._service.name, volumes.folder_of_postgres([*image, *own]))

    def _facts(self) -> superuser.Facts:
        """Ask the server of itself, as a role that the volume knows: the socket asks for no password."""
        remembered = self._volume_of(self._engine.state.read()).superuser
        candidates = [name for name in (login.wanted(self._service)[0], remembered, "postgres", "stackhand") if name]
        for name in candidates:
            asked = self._psql(name, superuser.FACTS, settings=login.UNMOVED)  # it may be no superuser
            if asked.returncode == 0:
                return msgspec.json.decode(asked.stdout, type=superuser.Facts)
        raise Failure(
            f"The volume of {self._service.name} has none of the roles {', '.join(candidates)}.",
            evidence=asked.stderr.splitlines()[-2:],
            next="set POSTGRES_USER in .env to the role that the volume was created with, or ./inv down --volumes",
            code=ExitCode.UNHEALTHY,
        )

    def _sql(self, user: str, statement: str, database: str = "postgres") -> str:
        result = self._psql(user, f"{login.UNLOGGED};\n{statement}", database)
        if result.returncode != 0:
            raise Failure(
                f"{self._service.name} could not be reconciled with .env.", evidence=result.stderr.splitlines()[-5:]
            )
        return result.stdout.strip()

    def _psql(
        self,
        user: str,
        statement: str,
        database: str = "postgres",
        settings: Mapping[str, str] = UNTRIGGERED,
    ) -> subprocess.CompletedProcess[str]:
        options = f"PGOPTIONS={login.words(settings)}"
        if options not in self._args:
            environment = ("--env", f"PGHOST={superuser.SOCKET}", "--env", options)
            self._args[options] = self._engine.execute(self._service, *environment)
        args = self._args[options]
        terse = ("-v", "VERBOSITY=terse")  # or psql would quote the line that failed, password and all
        argv = [*args, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *terse, "-U", user, "-d", database, "-f", "-"]
        done = program.run(argv, environment=inherited.environment("docker"), text=statement)
        if done.returncode >= DOCKERS_OWN or "Error response from daemon" in done.stderr:
            raise docker.error_of(("exec", "psql"), done.returncode, done.stderr)
        return done
