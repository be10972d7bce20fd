"""Run one migration and record it, and read what was recorded: the table schema_migration."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from pg8000.exceptions import DatabaseError

from service import __version__
from service.database import LOST, DatabaseUnavailable
from service.migration import lexer, schema
from service.migration.files import APPLIED, Migration, MigrationError, Record
from service.migration.lexer import ConcurrentIndex, Statement

RUNNING, FAILED = "running", "failed"

CREATE_TABLE = """
CREATE TABLE schema_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    milliseconds integer NOT NULL,
    state text NOT NULL DEFAULT 'applied',
    breaking boolean NOT NULL DEFAULT false,
    host text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT ''
)
"""
ADD_COLUMNS = """
ALTER TABLE {}
    ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'applied',
    ADD COLUMN IF NOT EXISTS breaking boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS host text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS version text NOT NULL DEFAULT ''
"""
"""Each has a default, so that the release before can go on writing its rows."""
FIRST_COLUMNS = frozenset({"number", "name", "sha256", "applied_at", "milliseconds"})
COLUMNS = frozenset(field.name for field in fields(Record))

_COLUMNS = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped
"""
_WRITE = """
INSERT INTO schema_migration (number, name, sha256, applied_at, milliseconds, state, breaking, host, version)
VALUES (:number, :name, :sha256, clock_timestamp(), :milliseconds, :state, :breaking, :host, :version)
ON CONFLICT (number) DO UPDATE SET (name, sha256, applied_at, milliseconds, state, breaking, host, version) =
    (excluded.name, excluded.sha256, excluded.applied_at, excluded.milliseconds, excluded.state, excluded.breaking,
    excluded.host, excluded.version)
"""
_UNDO_SETTINGS = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET search_path"
_SET = """
SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
    ('application_name', :application), ('lock_timeout', :lock_timeout), ('statement_timeout', '0'),
    ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), ('standard_conforming_strings', 'on'),
    ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '4')
) AS wanted (name, value) USING (name)
"""
_NOTICE_OUR_END = "SET client_connection_check_interval = '500ms'"
_FIND_INDEX = """
SELECT indexrelid::regclass::text, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relname = CAST(:name AS name) AND indrelid = to_regclass(:table)
"""

_BUSY = frozenset({"55P03", "40P01"})
"""A lock was not to be had in time, or only by a deadlock that PostgreSQL broke."""
_SENTENCES = {
    "25006": (
        "read_only",
        "the database takes no changes, as a replica does; give the service the address of the primary",
    ),
    "42501": ("no_privilege", "the database's user lacks a privilege; grant it, or migrate as the owner"),
    "3F000": ("no_privilege", "the database's user may not use any schema of its search_path; grant it one"),
}
_HINTS = {
    "25001": '; give the file the first line "-- migrate: no-transaction" and this one statement',
}


@dataclass(frozen=True)
class Limits:
    """How long a migration waits for locks of others.

    Args:
        lock_timeout: seconds that a statement waits for a lock, while others wait behind it.
        attempts: how often a file is tried.
        pause: seconds before the second attempt; each further pause is twice as long.
    """

    lock_timeout: float = 5.0
    attempts: int = 4
    pause: float = 0.5


def columns(connection: Any, table: str) -> set[str]:
    """Return the columns of schema_migration; none when there is no such table.

    Raises:
        MigrationError: somebody else made that table (`foreign_table`).
    """
    columns = {name for (name,) in connection.run(_COLUMNS, table=table)}
    if columns and not columns >= FIRST_COLUMNS:
        raise MigrationError(
            "foreign_table",
            "the schema has a table schema_migration that is not ours; set DATABASE_SCHEMA to another one",
        )
    return columns


def prepare_table(connection: Any) -> None:
    """Create schema_migration, or give it the columns it lacks; the caller holds the lock."""
    table = schema.record(connection)
    present = columns(connection, table)
    if not present:
        connection.run(CREATE_TABLE)
    elif not present >= COLUMNS:
        connection.run(ADD_COLUMNS.format(table))


def records(connection: Any) -> list[Record]:
    """Return what was recorded, in order; the table may be absent, or an older or a newer one."""
    table = schema.record(connection)
    if not columns(connection, table):
        return []
    rows = connection.run(f"SELECT to_jsonb(record) FROM {table} AS record ORDER BY number")  # noqa: S608 - see above
    return [_record({name: value for name, value in row.items() if name in COLUMNS}) for (row,) in rows]


def run(connection: Any, migration: Migration, limits: Limits) -> None:
    """Run one migration and record it.

    Args:
        connection: in autocommit mode, and without a timeout for reads.
        migration: which the database has not.
        limits: for a single attempt.

    Raises:
        pg8000.exceptions.DatabaseError: with the code 55P03 or 40P01: somebody else has a lock; nothing was done.
        MigrationError: the file fails; what it began in its transaction is rolled back.
        DatabaseUnavailable: the connection broke.
    """
    run_file = _run_in_transaction if migration.transaction else _run_alone
    try:
        run_file(connection, migration, limits)
    except LOST as error:
        raise DatabaseUnavailable(
            f"the connection broke in {migration.name}; what was not complete is run again at the next start"
        ) from error


def is_busy(error: DatabaseError) -> bool:
    """Return whether somebody else's lock was in the way, so that another attempt may succeed."""
    return _details(error).get("C") in _BUSY


def refusal(error: DatabaseError, place: str = "") -> MigrationError:
    """Return what PostgreSQL refused, in a sentence that says what to do.

    Args:
        error: of pg8000.
        place: file and line, where there is one.
    """
    details = _details(error)
    state, text = str(details.get("C", "")), str(details.get("M", error))
    before = f"{place}: " if place else ""
    if state in _SENTENCES:
        code, sentence = _SENTENCES[state]
        return MigrationError(code, f"{before}{text}: {sentence}")
    if state in _BUSY:
        return MigrationError("lock_timeout", f"{before}{text}: end what holds the lock, then start again")
    return MigrationError("sql", f"{before}{text}{_HINTS.get(state, '')}")


def _run_in_transaction(connection: Any, migration: Migration, limits: Limits) -> None:
    began = time.monotonic()
    _set_up(connection, limits.lock_timeout)
    connection.run("BEGIN")
    try:
        for statement in lexer.statements(migration.sql):
            _execute(connection, migration, statement)
        connection.run(_UNDO_SETTINGS)
        _write(connection, migration, APPLIED, began)
        _execute_sql(connection, "COMMIT", migration.name)
    except (DatabaseError, MigrationError):  # at any other end the connection closes, which rolls back as well
        with suppress(*LOST):
            connection.run("ROLLBACK")
        raise


def _run_alone(connection: Any, migration: Migration, limits: Limits) -> None:
    (statement,) = lexer.statements(migration.sql)
    index = lexer.concurrent_index(statement)
    # It waits for transactions of any length, and nobody waits behind it: a limit would only make it fail.
    _set_up(connection, 0.0 if "CONCURRENTLY" in statement.symbols else limits.lock_timeout)
    began = time.monotonic()
    interrupted = any(_is_begun(record, migration) for record in records(connection))
    _write(connection, migration, RUNNING, began)
    try:
        if not (index and _index_is_there(connection, index) and interrupted):
            _execute(connection, migration, statement)
    except (DatabaseError, MigrationError):
        with suppress(DatabaseError, *LOST):
            _write(connection, migration, FAILED, began)
        raise
    connection.run(_UNDO_SETTINGS)
    _write(connection, migration, APPLIED, began)


def _is_begun(record: Record, migration: Migration) -> bool:
    """Return whether a run of this very file was cut off, so that what it makes may be there already."""
    return (record.number, record.sha256, record.state) == (migration.number, migration.sha256, RUNNING)


def _index_is_there(connection: Any, index: ConcurrentIndex) -> bool:
    """Return whether an index is there and complete; drop it when it is only half made."""
    for name, valid in connection.run(_FIND_INDEX, name=index.name, table=index.table):
        if valid:
            return True
        connection.run(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    return False


def _set_up(connection: Any, lock_timeout: float) -> None:
    """Give the session the settings a file may rely on, whatever the file before it, or the role, has set."""
    connection.run("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL")
    connection.run(
        _SET, application=f"stackhand migrate {socket.gethostname()}", lock_timeout=str(round(lock_timeout * 1000))
    )
    with suppress(DatabaseError):  # where the operating system cannot tell, the lock is kept until the statement ends
        connection.run(_NOTICE_OUR_END)


def _execute(connection: Any, migration: Migration, statement: Statement) -> None:
    _execute_sql(connection, statement.text, migration.name, migration.sql, statement.start)


def _execute_sql(connection: Any, text: str, name: str, sql: str = "", start: int = 0) -> None:
    try:
        connection.run(text)
    except DatabaseError as error:
        if is_busy(error):
            raise
        position = start + int(_details(error).get("P", 1)) - 1
        line = f", line {lexer.line_of(sql, position)}" if sql else ""
        raise refusal(error, f"{name}{line}") from error


def _write(connection: Any, migration: Migration, state: str, began: float) -> None:
    connection.run(
        _WRITE,
        number=migration.number,
        name=migration.name,
        sha256=migration.sha256,
        milliseconds=round((time.monotonic() - began) * 1000),
        state=state,
        breaking=migration.breaking,
        host=socket.gethostname(),
        version=__version__,
    )


def _record(row: dict[str, Any]) -> Record:
    at = datetime.fromisoformat(row.pop("applied_at")).astimezone(UTC)
    return Record(**row, applied_at=at.isoformat(timespec="seconds"))


def _details(error: Exception) -> dict[str, Any]:
    return error.args[0] if error.args and isinstance(error.args[0], dict) else {}
