"""The verbs of `./inv db.…`: migrate, look, keep copies before anything is lost, and note something on an incident.

All of it goes through the programs of the server itself (`Database`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stackhand import redaction
from stackhand.cli import console
from stackhand.cli.console import confirm
from stackhand.cli.failure import ExitCode, Failure
from stackhand.database import choice, migrations
from stackhand.database.postgres import PostgreSQL
from stackhand.database.server import Database
from stackhand.local import interruption
from stackhand.project import inherited
from stackhand.project.state import State
from stackhand.system.roots import PROJECT

SEEDS = PROJECT / "seeds"
SNAPSHOTS = {f"before-*{kind.suffix}" for kind in choice.DATABASES.values()}
LONGEST_NOTE = 2000
"""Characters, as the database has it too."""
LARGEST_DIGITS = 18
INCIDENTS = """
SELECT set_config('search_path', quote_ident(nspname), false) FROM pg_namespace WHERE (
    SELECT count(*) FROM pg_class
    WHERE relnamespace = pg_namespace.oid AND relname IN ('history_incident', 'schema_migration') AND relkind = 'r'
) = 2 ORDER BY nspname = 'public' LIMIT 1
"""
"""Finds the tables of the status service; without a row, there are none."""
SET_NOTE = """
UPDATE history_incident SET note = :'text', updated_at = now() WHERE id = :'incident'
RETURNING component || ' of ' || to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI" UTC"');
"""
NEWEST_INCIDENTS = "SELECT 'no. ' || id || ': ' || component FROM history_incident ORDER BY started_at DESC LIMIT 5"


class SavedSnapshot(msgspec.Struct, frozen=True):
    """A snapshot of a database; when it was taken is a time of ISO 8601."""

    name: str
    size_bytes: int
    taken_at: str


class DatabaseStatus(msgspec.Struct, frozen=True):
    """The document of `db.status --json` (docs/output.md)."""

    database: str
    version: str
    size_bytes: int
    connections: int
    snapshots: list[SavedSnapshot]
    migrations: list[migrations.Report] | None


def migrate(*, service: str | None) -> None:
    """Apply the pending migrations: of all databases, or of one."""
    with interruption.reported("db.migrate"):
        migrations.apply(*choice.migrating("db.migrate", service))


def status(*, service: str | None, json: bool) -> None:
    """Show the migrations, the size of a database and its snapshots.

    Args:
        service: the database, where there are several.
        json: as a document (docs/output.md) instead of lines.
    """
    database = choice.database("db.status", service)
    statistics, snapshots = database.statistics(), [_snapshot(database.file(name)) for name in database.known()]
    reports, unknown = migrations.status(database.engine, choice.users(database))
    if json:
        fields = msgspec.structs.asdict(statistics)
        console.document(DatabaseStatus(database.name, **fields, snapshots=snapshots, migrations=reports or None))
        return
    size = f"{statistics.size_bytes / 2**20:.1f} MiB"
    console.write(
        f"{database.name}: {database.title} {statistics.version}, {size}, {statistics.connections} connections"
    )
    console.write(f"snapshots: {', '.join(each.name for each in snapshots) or 'none'}")
    for report in reports:
        console.write("\n".join(filter(None, (f"migrations of {report.service}:", report.output, report.errors))))
    for sentence in unknown:
        console.write(f"migrations: unknown: {sentence}")


def _snapshot(path: Path) -> SavedSnapshot:
    file = path.stat()
    taken = datetime.fromtimestamp(file.st_mtime, UTC).isoformat(timespec="seconds")
    return SavedSnapshot(path.stem, file.st_size, taken)


def plan(*, service: str | None) -> None:
    """Show what `db.migrate` would do."""
    migrations.plan(*choice.migrating("db.plan", service))


def shell(*, service: str | None) -> None:
    """Become the server's own client; does not return."""
    argv, environment = choice.database("db.shell", service).shell()
    sys.stdout.flush()
    os.execvpe(argv[0], argv, {**inherited.environment("client"), **environment})  # noqa: S606 - the very purpose


def snapshot(name: str, *, service: str | None) -> None:
    """Keep the database as it is now, under a name."""
    with _lock("db.snapshot"):
        path = choice.database("db.snapshot", service).save(name)
    again = f"{name} --service {service}" if service else name
    console.write(f"snapshot {name}: {path.stat().st_size / 1024:.0f} KiB; ./inv db.restore {again} restores it")


def restore(name: str, *, service: str | None, yes: bool) -> None:
    """Put a snapshot in the place of the database; a snapshot of what was there is taken first."""
    with _lock("db.restore"):
        database = choice.database("db.restore", service)
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
    if choice.users(database):
        notes.append("its schema and rights are the snapshot's: ./inv db.migrate updates them")
    _show_notes(notes)


def reset(*, service: str | None, yes: bool) -> None:
    """Empty the database and migrate it again; a snapshot of what was there is taken first."""
    with _lock("db.reset"):
        database = choice.database("db.reset", service)
        if not yes:
            confirm(f"This empties the database {database.name}", database.name)
        kept = _keep(database, "before-reset")
        notes = database.replace(None)
        console.write(f"{database.name} is empty; the previous data is kept as {kept}")
        users = choice.users(database)
        if not users:
            notes.append(f"no migration is applied: no service in {database.engine.stack.file} has a command for it")
        _show_notes(notes)
        if users:
            migrations.apply(database.engine, users)


def seed(*, service: str | None) -> None:
    """Load the files of seeds/, in the order of their names and each in a transaction of its own.

    Raises:
        Failure: there is none, or one cannot be loaded.
    """
    with _lock("db.seed"):
        database = choice.database("db.seed", service)
        assert isinstance(database, PostgreSQL)  # noqa: S101 - the only kind that supports it
        files = sorted(SEEDS.glob("*.sql"))
        if not files:
            raise Failure("seeds/ has nothing to load.", next="write SQL into seeds/001_name.sql")
        for path in files:
            console.write(f"{path.name}  {console.counted(database.load(path), 'row')}")


def note(incident: str, text: str, *, service: str | None) -> None:
    """Set the note on an incident; an empty one removes it.

    Args:
        incident: its number, as the page shows it.
        text: plain, for people.
        service: the database of the status service, where there are several.

    Raises:
        Failure: there is no such incident, or the text is too long.
    """
    text = redaction.current().content(text.strip())  # the page shows it to everybody
    if len(text) > LONGEST_NOTE:
        raise Failure(f"A note may have {LONGEST_NOTE} characters, not {len(text)}.", code=ExitCode.USAGE)
    database = choice.database("db.note", service)
    assert isinstance(database, PostgreSQL)  # noqa: S101 - the only kind that supports it
    if not database.sql(INCIDENTS, database=database.name):
        raise Failure(
            f"The database {database.name} has no incidents: it has no table of the status service.",
            next="./inv db.migrate, or name the database of the status service with --service",
            code=ExitCode.USAGE,
        )
    is_number = incident.isascii() and incident.isdigit() and len(incident) <= LARGEST_DIGITS
    noted = _set_note(database, incident, text) if is_number else ""
    if not noted:
        known = database.sql(INCIDENTS, NEWEST_INCIDENTS, database=database.name).splitlines()[1:]
        raise Failure(
            f"There is no incident {incident!r}.",
            evidence=known or ["there are no incidents"],
            next="find its number on the page or in /api/incidents",
            code=ExitCode.USAGE,
        )
    console.write(f"{'note added to' if text else 'note removed from'} {noted}; the page shows it within a minute")


def _set_note(database: PostgreSQL, incident: str, text: str) -> str:
    """Return which incident it was; psql quotes the values itself, for they may be anything."""
    values = ("-v", f"incident={incident}", "-v", f"text={text}")
    return database.script(f"{INCIDENTS} \\gset\n{SET_NOTE}", *values).strip()


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        console.write(f"  {console.glyph('note')} {note}")


def _keep(database: Database, occasion: str) -> str:
    name = f"{occasion}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    database.save(name)
    return name


@contextmanager
def _lock(verb: str):  # type: ignore[no-untyped-def]
    state = State(PROJECT)
    with state.lock(f"./inv {verb}", 60.0, console.notify):
        before = _kept(state)
        kept = "the previous data is kept as {}"
        with interruption.reported(verb, lambda: [kept.format(path.stem) for path in _kept(state) - before]):
            yield


def _kept(state: State) -> set[Path]:
    """Return the snapshots that were taken before something was replaced."""
    return {path for pattern in SNAPSHOTS for path in state.snapshots.rglob(pattern)}
