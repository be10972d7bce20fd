"""The verbs of `./inv db.…`: migrate, look, and keep copies before anything is lost.

All of it goes through PostgreSQL's own programs, so that a snapshot is an ordinary `pg_dump` file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from stackhand import ROOT, console, engines, inherited, model, settings
from stackhand.engines.engine import Engine
from stackhand.failure import ExitCode, Failure
from stackhand.local import confirm, not_running
from stackhand.model import Service
from stackhand.state import State

SEEDS = ROOT / "seeds"
LONGEST_NAME = 63
"""In bytes: NAMEDATALEN of PostgreSQL, less its NUL."""
SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Database:
    """The PostgreSQL of the running stack.

    Args:
        engine: that runs it.
        service: its entry in docker-compose.yml.
    """

    def __init__(self, engine: Engine, service: Service) -> None:
        self.engine = engine
        self.service = service
        self.name = service.environment.get("POSTGRES_DB", "postgres")
        self.snapshots = engine.state.snapshots

    @classmethod
    def running(cls) -> Database:
        """Return the database of this checkout.

        Raises:
            Failure: the stack does not run, or has none.
        """
        state = State(ROOT)
        stack = model.load(ROOT, settings.load(ROOT).values)
        found = [each for each in stack.services.values() if each.embedded and each.embedded.engine == "postgres"]
        if not found:
            raise Failure("docker-compose.yml has no PostgreSQL (x-embedded: {engine: postgres}).")
        engine = engines.remembered(state, stack)
        if not any(status.name == found[0].name and status.healthy for status in engine.status()):
            raise not_running(state)
        return cls(engine, found[0])

    def run(
        self, tool: str, *arguments: str, database: str | None = None, source: IO[bytes] | None = None, to: Any = None
    ) -> str:
        """Run one of PostgreSQL's programs and return what it said.

        Args:
            tool: psql, pg_dump or pg_restore.
            arguments: of the tool.
            database: another one than the stack's.
            source: what it reads from standard input.
            to: a file for what it writes, instead of the answer.

        Raises:
            Failure: it failed; its words are the evidence.
        """
        argv, environment = self.engine.client(self.service, tool, database or self.name)
        said = subprocess.run(
            [*argv, *arguments],
            env=environment,
            stdin=source or subprocess.DEVNULL,
            stdout=to or subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )
        if said.returncode != 0:
            words = said.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Failure(f"{tool} failed.", evidence=words[-10:], next="./inv logs")
        return (said.stdout or b"").decode("utf-8", "replace")

    def sql(self, *statements: str, database: str | None = None) -> str:
        """Run statements, one by one, with psql; stop at the first that fails.

        Args:
            statements: of SQL.
            database: where; any but the stack's own, unless it is named.
        """
        words = [word for statement in statements for word in ("-c", statement)]
        elsewhere = "template1" if self.name == "postgres" else "postgres"
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *words, database=database or elsewhere)

    def save(self, name: str) -> Path:
        """Write a snapshot and return its file.

        Raises:
            Failure: the name is no name, or taken, or pg_dump failed.
        """
        path = self.file(name)
        if path.exists():
            raise Failure(f"There is a snapshot {name!r} already.", next=f"another name, or: rm {path}")
        draft = path.with_suffix(".tmp")
        try:
            draft.touch(0o600)
            with draft.open("wb") as file:
                self.run("pg_dump", "--format=custom", to=file)
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def file(self, name: str) -> Path:
        """Return the file of a snapshot, whether it exists or not."""
        if not SNAPSHOT_NAME.fullmatch(name):
            raise Failure(
                f"{name!r} is no name for a snapshot: letters, digits, and . _ - inside it.", code=ExitCode.USAGE
            )
        return self.snapshots / f"{name}.dump"

    def known(self) -> list[str]:
        """Return the names of the snapshots, the newest first."""
        found = sorted(self.snapshots.glob("*.dump"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.stem for path in found]

    def replace(self, source: Path | None) -> None:
        """Put another database in the place of the present one: that of a snapshot, or an empty one.

        The new one is complete before the old one goes; when anything fails, the old one stays.
        """
        owner, draft = self.service.environment.get("POSTGRES_USER", "postgres"), draft_of(self.name)
        self.sql(f'DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)', f'CREATE DATABASE "{draft}" OWNER "{owner}"')
        try:
            if source:
                with source.open("rb") as file:
                    # owned by the role of now, whoever owned it when the snapshot was taken
                    words = ("--exit-on-error", "--no-owner", f"--role={owner}", f"--dbname={draft}")
                    self.run("pg_restore", *words, database=draft, source=file)
        except Failure:
            self.sql(f'DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)')
            raise
        self.sql(f'DROP DATABASE "{self.name}" WITH (FORCE)', f'ALTER DATABASE "{draft}" RENAME TO "{self.name}"')


def draft_of(name: str) -> str:
    """Return the name of the database that is to take a place: never that of the one which has it.

    PostgreSQL cuts a name after 63 bytes, so that a longer one of our making could be any other.
    """
    beginning = name.encode()[: LONGEST_NAME - len("_new")].decode("utf-8", "ignore")
    return f"{beginning}_{'old' if f'{beginning}_new' == name else 'new'}"


def migrate() -> None:
    """Apply the pending migrations."""
    _migration_command([])


def status() -> None:
    """Show the migrations, the size of the database and the snapshots."""
    database = Database.running()
    version, size, connections = database.sql(
        "SHOW server_version",
        "SELECT pg_size_pretty(pg_database_size(current_database()))",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        database=database.name,
    ).splitlines()
    console.say(f"{database.name}: PostgreSQL {version}, {size}, {connections} connections")
    console.say(f"snapshots: {', '.join(database.known()) or 'none'}")
    _migration_command(["--status"])


def plan() -> None:
    """Show what `db.migrate` would do."""
    _migration_command(["--plan"])


def shell() -> None:
    """Become psql; does not return."""
    database = Database.running()
    argv, environment = database.engine.client(database.service, "psql", database.name)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, inherited.environment("client") | environment)  # noqa: S606 - the very purpose


def snapshot(name: str) -> None:
    """Keep the database as it is now, under a name."""
    with _turn("db.snapshot"):
        path = Database.running().save(name)
    console.say(f"snapshot {name}: {path.stat().st_size / 1024:.0f} KiB; ./inv db.restore {name} brings it back")


def restore(name: str, *, yes: bool) -> None:
    """Put a snapshot in the place of the database; a snapshot of what was there is taken first."""
    with _turn("db.restore"):
        database = Database.running()
        source = database.file(name)
        if not source.exists():
            raise Failure(
                f"There is no snapshot {name!r}.",
                evidence=[f"known: {', '.join(database.known()) or 'none'}"],
                code=ExitCode.USAGE,
            )
        if not yes:
            confirm(f"This replaces the database {database.name} by the snapshot {name}", database.name)
        kept = _keep(database, "before-restore")
        database.replace(source)
    console.say(f"{database.name} is that of {name} again; what was there is kept as {kept}")


def reset(*, yes: bool) -> None:
    """Empty the database and migrate it anew; a snapshot of what was there is taken first."""
    with _turn("db.reset"):
        database = Database.running()
        if not yes:
            confirm(f"This empties the database {database.name}", database.name)
        kept = _keep(database, "before-reset")
        database.replace(None)
        _migration_command([])
    console.say(f"{database.name} is new; what was there is kept as {kept}")


def seed() -> None:
    """Load the files of seeds/, in the order of their names and each in a transaction of its own.

    Raises:
        Failure: there is none, or one cannot be loaded.
    """
    with _turn("db.seed"):
        database = Database.running()
        files = sorted(SEEDS.glob("*.sql"))
        if not files:
            raise Failure("There is nothing to load in seeds/.", next="write SQL into seeds/001_name.sql")
        for path in files:
            console.say(f"{path.name}  {_load(database, path)} rows")


def _load(database: Database, path: Path) -> int:
    """Load a file, and return how many rows its statements wrote."""
    words = ["-XtA", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", "-"]
    try:
        with path.open("rb") as source:
            said = database.run("psql", *words, source=source)
    except Failure as failure:
        mend = f"mend seeds/{path.name}, then ./inv db.seed"
        raise Failure(f"{path.name} was not loaded.", evidence=failure.evidence, next=mend) from failure
    return sum(
        int(number) for number in re.findall(r"^(?:INSERT 0|UPDATE|DELETE|MERGE|COPY) (\d+)$", said, re.MULTILINE)
    )


def _keep(database: Database, occasion: str) -> str:
    name = f"{occasion}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    database.save(name)
    return name


@contextmanager
def _turn(verb: str):  # type: ignore[no-untyped-def]
    with State(ROOT).turn(f"./inv {verb}", 60.0, console.tell):
        yield


def _migration_command(flags: Sequence[str]) -> None:
    """Run the stack's own migration command (`migrate` of an x-aws) with the environment of its service.

    Raises:
        Failure: no service has one, or it failed.
    """
    database = Database.running()
    services = database.engine.stack.services.values()
    found = [each for each in services if each.migrate]
    if not found:
        raise Failure("No service of docker-compose.yml has a migration command (x-aws.migrate).")
    words = [*found[0].migrate, *flags]
    said = database.engine.run(found[0], words)
    console.say(said.stdout.strip())
    if said.returncode != 0:
        raise Failure(
            f"{' '.join(words)} failed with exit code {said.returncode}.",
            evidence=said.stderr.strip().splitlines()[-10:],
            next="mend the migration, then ./inv db.migrate",
        )
