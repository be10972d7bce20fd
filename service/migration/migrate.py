"""Bring the database to the schema of service/migrations: each file once, in order, in a transaction of its own.

One connection does everything: it holds the lock for as long as its backend lives, so that nobody can begin while a
statement of a starter that was killed still runs.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from pg8000.exceptions import DatabaseError

from service.database import LOST, READ_WITHIN, DatabaseUnavailable, connect, connect_patiently
from service.migration import lock, role, run, schema
from service.migration.files import APPLIED, Migration, MigrationError, Record, plan, read
from service.migration.run import RUNNING, Limits
from service.settings import Settings

__all__ = ["Limits", "Migration", "MigrationError", "Record", "Status", "apply", "inspect", "plan", "read", "status"]

PENDING, INTERRUPTED = "pending", "interrupted"

Stop = threading.Event | Callable[[], bool] | None


@dataclass(frozen=True)
class Status:
    """One migration, and what the database knows of it.

    Args:
        number: its place in the order.
        name: the file's name.
        applied_at: when it was applied, ISO 8601; None: it is not.
        state: applied, pending, running, interrupted or failed.
        breaking: whether the release before does not work on the schema it leaves.
        transaction: whether it runs in one; None: this release does not have the file.
        milliseconds: how long it took.
        host: that applied it.
        version: of the service that applied it.
    """

    number: int
    name: str
    applied_at: str | None
    state: str
    breaking: bool
    transaction: bool | None
    milliseconds: int | None = None
    host: str | None = None
    version: str | None = None


def apply(
    settings: Settings, migrations: list[Migration], *, stop: Stop = None, limits: Limits | None = None
) -> list[str]:
    """Apply what the database has not, and return the names of what was applied.

    Several processes may do this at once: all but one wait, and then find nothing to do. A process that is killed
    leaves nothing behind that needs a hand: the next start goes on.

    Args:
        settings: where the database is, and how long to wait for it, and for another process that migrates.
        migrations: all files in their order.
        stop: an event, or what says whether we are to end; looked at while waiting and between files.
        limits: how long a migration waits for locks.

    Raises:
        MigrationError: the files do not continue what was applied, a file fails (what it began is rolled back), the
            database refuses us, another process keeps the lock, or we were asked to end (`stopped`).
        DatabaseUnavailable: there is no database within `settings.database_wait` seconds, or it went away.
    """
    stopped = _asked(stop)
    done: list[str] = []
    with _connection(settings, stopped) as connection:
        at = settings.owner or settings.database
        lock.refuse_pooler(connection, lambda: connect(at, READ_WITHIN))
        lock.take(connection, settings.database_wait, stopped)
        schema.create(connection, at.schema)
        run.prepare_table(connection)
        pending = plan(migrations, run.records(connection))
        _wait_for_any_statement(connection)
        for migration in pending:
            lock.verify(connection)
            _run_patiently(connection, migration, limits or Limits(), stopped)
            done.append(migration.name)
        if settings.owner:
            role.reconcile(connection, settings.owner.user, settings.database)
    return done


def status(settings: Settings, migrations: list[Migration]) -> list[Status]:
    """Return each migration, those that only the database knows among them, without changing anything.

    Raises:
        MigrationError: the database refuses us.
        DatabaseUnavailable: there is no database within `settings.database_wait` seconds.
    """
    return inspect(settings, migrations)[0]


def inspect(
    settings: Settings, migrations: list[Migration], *, stop: Stop = None
) -> tuple[list[Status], MigrationError | None]:
    """Return the migrations as `status` does, and why they would be refused, if they would."""
    with _connection(settings, _asked(stop)) as connection:
        records = run.records(connection)
        if not lock.holder(connection):
            records = [replace(each, state=INTERRUPTED) if each.state == RUNNING else each for each in records]
    refused = None
    try:
        plan(migrations, records)
    except MigrationError as error:
        refused = error
    return _merged(migrations, records), refused


def _merged(migrations: list[Migration], records: list[Record]) -> list[Status]:
    files = {file.number: file for file in migrations}
    known = {record.number: record for record in records}
    merged = []
    for number in sorted(files.keys() | known.keys()):
        file, record = files.get(number), known.get(number)
        if record is None:
            assert file is not None  # noqa: S101 - the number is of one of the two
            merged.append(Status(number, file.name, None, PENDING, file.breaking, file.transaction))
            continue
        at = record.applied_at if record.state == APPLIED else None
        breaking, transaction = (file.breaking, file.transaction) if file else (record.breaking, None)
        details = (record.milliseconds, record.host, record.version)
        merged.append(Status(number, record.name, at, record.state, breaking, transaction, *details))
    return merged


@contextmanager
def _connection(settings: Settings, stopped: Callable[[], bool]) -> Iterator[Any]:
    """Yield a connection, and translate what goes wrong on it."""
    at = settings.owner or settings.database
    try:
        connection = connect_patiently(at, settings.database_wait, stop=stopped)
    except DatabaseUnavailable as error:
        lock.refuse_when(stopped)
        raise DatabaseUnavailable(f"{error}: {_cause(error)}") from error
    try:
        yield connection
    except LOST as error:
        raise DatabaseUnavailable(f"the connection to {at} broke: {error}") from error
    except DatabaseError as error:
        raise run.refusal(error) from error
    finally:
        with suppress(*LOST):
            connection.close()


def _run_patiently(connection: Any, migration: Migration, limits: Limits, stopped: Callable[[], bool]) -> None:
    """Run a migration; again, after a pause, when another connection's lock was in its way."""
    pause = limits.pause
    for left in reversed(range(limits.attempts)):
        lock.refuse_when(stopped)
        try:
            run.run(connection, migration, limits)
        except DatabaseError as error:
            if not run.is_busy(error):
                raise
            if not left:
                raise run.refusal(error, migration.name) from error
        else:
            return
        _pause(pause, stopped)
        pause *= 2


def _pause(seconds: float, stopped: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stopped():
        time.sleep(0.05)


def _wait_for_any_statement(connection: Any) -> None:
    """Let a statement take as long as it takes; a server that is gone is noticed by TCP's keepalive."""
    opened = connection._usock
    opened.settimeout(None)
    for option, seconds in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


def _asked(stop: Stop) -> Callable[[], bool]:
    if isinstance(stop, threading.Event):
        return stop.is_set
    return stop or (lambda: False)


def _cause(error: DatabaseUnavailable) -> str:
    cause = error.__cause__
    details = cause.args[0] if cause and cause.args and isinstance(cause.args[0], dict) else {}
    return str(details.get("M", cause))
