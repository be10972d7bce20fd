"""The verbs of `./inv db.…`: migrate, look, and keep copies before anything is lost.

All of it goes through PostgreSQL's own programs, so that a snapshot is an ordinary `pg_dump` file.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from stackhand import ROOT
from stackhand.cli import console
from stackhand.cli.console import confirm
from stackhand.cli.failure import ExitCode, Failure
from stackhand.database import migrations, outside, restoring, seeds
from stackhand.database.outside import Outside
from stackhand.local import engines, interruption, readiness
from stackhand.local.engines import login
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.login import SUPERUSER, Login
from stackhand.project import inherited, model, settings
from stackhand.project.model import Service
from stackhand.project.state import State

SEEDS = ROOT / "seeds"
CATALOG_ONLY = "SET search_path TO pg_catalog"
SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Database:
    """The PostgreSQL of the running stack.

    All verbs connect as the owner of the database. What an owner cannot do (end the sessions of others, and make the
    role that a dump is restored as) is done by `superuser()`.

    Args:
        engine: that runs it.
        service: its entry in docker-compose.yml.
    """

    login: Login | None = None

    def __init__(self, engine: Engine, service: Service) -> None:
        self.engine = engine
        self.service = service
        self.owner, _, self.name = login.wanted(service)
        self.snapshots = engine.state.snapshots

    @classmethod
    def running(cls) -> Database:
        """Return the database of this checkout.

        Raises:
            Failure: the stack does not run, or has none.
        """
        state = State(ROOT)
        stack = model.load(ROOT, settings.load(ROOT).values)
        database = cls(engines.remembered(state, stack), stack.find("postgres"))
        failure = readiness.refusal(database.engine, database.service)
        # A server that is not healthy may let us in all the same, and that is when a snapshot helps most.
        if failure and not (isinstance(failure, readiness.Unhealthy) and database._answers()):
            raise failure
        return database

    def superuser(self) -> Database:
        """Return the same server, connected to as its superuser; none but statements of our own go there."""
        return self.connected(SUPERUSER, self.name)

    def connected(self, login: Login, name: str) -> Database:
        """Return a database of the same server, connected to as somebody else."""
        found = copy.copy(self)
        found.login, found.name = login, name
        return found

    def _answers(self) -> bool:
        try:
            return self.sql("SELECT 1", database=self.name) != ""
        except Failure:
            return False

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
        result = self._execute(tool, arguments, database, source, to)
        if result.returncode != 0:
            raise Failure(
                f"{tool} failed.", evidence=_lines(result.stderr)[-10:], next=f"./inv logs {self.service.name}"
            )
        return (result.stdout or b"").decode("utf-8", "replace")

    def attempt(
        self, tool: str, *arguments: str, database: str | None = None, source: IO[bytes] | None = None
    ) -> tuple[int, list[str]]:
        """Run one of PostgreSQL's programs; return its exit code, and the lines of what it complained about."""
        done = self._execute(tool, arguments, database, source, None)
        return done.returncode, _lines(done.stderr)

    def script(self, statement: str) -> None:
        """Run a statement with a secret in it: by standard input, and kept out of the server's log."""
        args = ("-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-f", "-")
        with tempfile.TemporaryFile() as script:
            script.write(f"{login.UNLOGGED};\n{statement};\n".encode())
            script.seek(0)
            self.run("psql", *args, database=self._elsewhere, source=script)

    def _execute(
        self, tool: str, arguments: Sequence[str], database: str | None, source: IO[bytes] | None, to: Any
    ) -> subprocess.CompletedProcess[bytes]:
        argv, environment = self.engine.client(self.service, tool, database or self.name, login=self.login)
        return subprocess.run(
            [*argv, *arguments],
            env=environment,
            stdin=source or subprocess.DEVNULL,
            stdout=to or subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )

    def sql(self, *statements: str, database: str | None = None) -> str:
        """Run statements, one by one, with psql; stop at the first that fails.

        Args:
            statements: of SQL.
            database: where; any but the stack's own, unless it is named.
        """
        args = [word for statement in statements for word in ("-c", statement)]
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *args, database=database or self._elsewhere)

    @property
    def _elsewhere(self) -> str:
        return "template1" if self.name == "postgres" else "postgres"

    def attempt_sql(self, *statements: str, database: str | None = None) -> list[str]:
        """Run statements as `sql` does, and return why that failed; nothing when it did not."""
        try:
            self.sql(*statements, database=database)
        except Failure as failure:
            return list(failure.evidence)
        return []

    def save(self, name: str) -> Path:
        """Write a snapshot and return its file.

        Raises:
            Failure: the name is no name, or taken, or pg_dump failed.
        """
        path = self.file(name)
        if path.exists():
            raise Failure(f"The snapshot {name!r} already exists.", next=f"use another name, or: rm {path}")
        draft, beside = path.with_suffix(".tmp"), outside.beside(path)
        try:
            draft.touch(0o600)
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(self.outside())))
            draft.rename(beside)
            draft.touch(0o600)
            with draft.open("wb") as file:
                # an owner may not read what other roles have in it, nor subscriptions
                self.superuser().run("pg_dump", "--format=custom", to=file)
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
            if not path.exists():
                beside.unlink(missing_ok=True)
        return path

    def file(self, name: str) -> Path:
        """Return the file of a snapshot, whether it exists or not."""
        if not SNAPSHOT_NAME.fullmatch(name):
            raise Failure(
                f"{name!r} is not a snapshot name: use letters and digits; also . _ - inside.",
                code=ExitCode.USAGE,
            )
        return self.snapshots / f"{name}.dump"

    def known(self) -> list[str]:
        """Return the names of the snapshots, the newest first."""
        found = sorted(self.snapshots.glob("*.dump"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.stem for path in found]

    def replace(self, source: Path | None) -> list[str]:
        """Put another database in the place of the present one: that of a snapshot, or an empty one.

        The new one is complete before the old one goes; when anything fails, the old one stays.

        Returns:
            A sentence on each thing that is not as it was.
        """
        return restoring.replace(self, source)

    def outside(self) -> Outside:
        """Return what belongs to the database as it is now and is not in its dump."""
        return outside.parse(self.sql(CATALOG_ONLY, outside.QUERY, database=self.name))


def migrate() -> None:
    """Apply the pending migrations."""
    with interruption.reported("db.migrate"):
        migrations.apply(Database.running().engine)


def status(*, json: bool) -> None:
    """Show the migrations, the size of the database and the snapshots.

    Args:
        json: as a document (docs/output.md) instead of lines.
    """
    database = Database.running()
    found = _statistics(database)
    reports, unknown = migrations.status(database.engine)
    if json:
        console.document({**found, "migrations": [each.to_dict() for each in reports] if reports else None})
        return
    size = f"{found['size_bytes'] / 2**20:.1f} MiB"
    console.write(f"{database.name}: PostgreSQL {found['version']}, {size}, {found['connections']} connections")
    console.write(f"snapshots: {', '.join(each['name'] for each in found['snapshots']) or 'none'}")
    for report in reports:
        console.write("\n".join(filter(None, (f"migrations of {report.service}:", report.output, report.errors))))
    for sentence in unknown:
        console.write(f"migrations: unknown: {sentence}")


def _statistics(database: Database) -> dict[str, Any]:
    version, size, connections = database.sql(
        "SHOW server_version",
        "SELECT pg_database_size(current_database())",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        database=database.name,
    ).splitlines()
    return {
        "database": database.name,
        "version": version,
        "size_bytes": int(size),
        "connections": int(connections),
        "snapshots": [_snapshot(database.file(name)) for name in database.known()],
    }


def _snapshot(path: Path) -> dict[str, Any]:
    found = path.stat()
    taken = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
    return {"name": path.stem, "size_bytes": found.st_size, "taken_at": taken}


def plan() -> None:
    """Show what `db.migrate` would do."""
    migrations.plan(Database.running().engine)


def shell() -> None:
    """Become psql; does not return."""
    database = Database.running()
    argv, environment = database.engine.client(database.service, "psql", database.name, interactive=True)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, inherited.environment("client") | environment)  # noqa: S606 - the very purpose


def snapshot(name: str) -> None:
    """Keep the database as it is now, under a name."""
    with _turn("db.snapshot"):
        path = Database.running().save(name)
    console.write(f"snapshot {name}: {path.stat().st_size / 1024:.0f} KiB; ./inv db.restore {name} restores it")


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
            confirm(f"This replaces the database {database.name} with the snapshot {name}", database.name)
        kept = _keep(database, "before-restore")
        notes = database.replace(source)
    console.write(f"{database.name} is restored from {name}; the previous data is kept as {kept}")
    if migrations.services(database.engine):
        notes.append("its schema and rights are the snapshot's: ./inv db.migrate updates them")
    _show_notes(notes)


def reset(*, yes: bool) -> None:
    """Empty the database and migrate it again; a snapshot of what was there is taken first."""
    with _turn("db.reset"):
        database = Database.running()
        if not yes:
            confirm(f"This empties the database {database.name}", database.name)
        kept = _keep(database, "before-reset")
        own = database.outside().database
        notes = database.replace(None)
        console.write(f"{database.name} is empty; the previous data is kept as {kept}")
        if own:
            notes.append(f"{len(own)} settings and grants of the database itself are removed; {kept} has them")
        if not migrations.services(database.engine):
            notes.append("no migration is applied: no service in docker-compose.yml has a command for it")
        _show_notes(notes)
        if migrations.services(database.engine):
            migrations.apply(database.engine)


def seed() -> None:
    """Load the files of seeds/, in the order of their names and each in a transaction of its own.

    Raises:
        Failure: there is none, or one cannot be loaded.
    """
    with _turn("db.seed"):
        database = Database.running()
        files = sorted(SEEDS.glob("*.sql"))
        if not files:
            raise Failure("seeds/ has nothing to load.", next="write SQL into seeds/001_name.sql")
        for path in files:
            console.write(f"{path.name}  {seeds.load(database, path)} rows")


def _lines(output: bytes) -> list[str]:
    return output.decode("utf-8", "replace").strip().splitlines()


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        console.write(f"  {console.glyph('note')} {note}")


def _keep(database: Database, occasion: str) -> str:
    name = f"{occasion}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    database.save(name)
    return name


@contextmanager
def _turn(verb: str):  # type: ignore[no-untyped-def]
    state = State(ROOT)
    with state.turn(f"./inv {verb}", 60.0, console.notify):
        before = set(state.snapshots.glob("*.dump"))
        with interruption.reported(verb, lambda: _kept_since(before, state)):
            yield


def _kept_since(before: set[Path], state: State) -> list[str]:
    """Return a sentence on each snapshot that was taken since."""
    return [f"the previous data is kept as {path.stem}" for path in set(state.snapshots.glob("before-*.dump")) - before]
