"""Bring the database to the schema of service/migrations: each file once, in order, in a transaction of its own.

One connection does everything: it holds the lock for as long as its backend lives, so that nobody can begin while a
statement of a starter that was killed still runs.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from pg8000.exceptions import DatabaseError

from service import application_role, migration_lock, migration_run
from service.database import LOST, READ_WITHIN, DatabaseUnavailable, connect, connect_patiently
from service.migration_files import APPLIED, FOLDER, Migration, MigrationError, Record, plan, read
from service.migration_run import RUNNING, Limits
from service.settings import Settings

__all__ = ["Limits", "Migration", "MigrationError", "Record", "Status", "apply", "command", "plan", "read", "status"]

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
        migration_lock.refuse_pooler(connection, lambda: connect(at, READ_WITHIN))
        migration_lock.take(connection, settings.database_wait, stopped)
        migration_run.prepare_table(connection)
        pending = plan(migrations, migration_run.records(connection))
        _wait_for_any_statement(connection)
        for migration in pending:
            migration_lock.verify(connection)
            _run_patiently(connection, migration, limits or Limits(), stopped)
            done.append(migration.name)
        if settings.owner:
            application_role.settle(connection, settings.owner.user, settings.database)
    return done


def status(settings: Settings, migrations: list[Migration]) -> list[Status]:
    """Return each migration, those that only the database knows among them, without changing anything.

    Raises:
        MigrationError: the database refuses us.
        DatabaseUnavailable: there is no database within `settings.database_wait` seconds.
    """
    return _look(settings, migrations)[0]


def command(settings: Settings, *, status: bool, plan: bool, as_json: bool, folder: Path = FOLDER) -> int:
    """Run `python -m service migrate` and return its exit code: 0 done, 1 refused or failed, 3 no database.

    Args:
        settings: of the service.
        status: only show what is applied and what is not.
        plan: only show what would be applied.
        as_json: one document on stdout, and one on stderr for an error.
        folder: of the files.
    """
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        migrations = read(folder)
        applied = [] if status or plan else apply(settings, migrations)
        found, refused = _look(settings, migrations)
    except (MigrationError, DatabaseUnavailable) as error:
        _complain(error, as_json=as_json)
        return 3 if isinstance(error, DatabaseUnavailable) else 1
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        print(json.dumps(_document(applied, found)))
    else:
        print("\n".join(_lines([each for each in found if each.state != APPLIED] if plan else found)))
    if refused:
        _complain(refused, as_json=as_json)
        return 1
    return 0


def _look(settings: Settings, migrations: list[Migration]) -> tuple[list[Status], MigrationError | None]:
    """Return the migrations, and why they would be refused, if they would."""
    with _connection(settings, lambda: False) as connection:
        records = migration_run.records(connection)
        if not migration_lock.holder(connection):
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
    found = []
    for number in sorted(files.keys() | known.keys()):
        file, record = files.get(number), known.get(number)
        if record is None:
            assert file is not None  # noqa: S101 - the number is of one of the two
            found.append(Status(number, file.name, None, PENDING, file.breaking, file.transaction))
            continue
        at = record.applied_at if record.state == APPLIED else None
        breaking, transaction = (file.breaking, file.transaction) if file else (record.breaking, None)
        details = (record.milliseconds, record.host, record.version)
        found.append(Status(number, record.name, at, record.state, breaking, transaction, *details))
    return found


def _document(applied: list[str], found: list[Status]) -> dict[str, Any]:
    return {
        "applied": applied,
        "pending": [each.name for each in found if each.state != APPLIED],
        "migrations": [asdict(each) for each in found],
    }


def _lines(found: list[Status]) -> list[str]:
    """Return a line for each migration; the columns after the state are aligned."""
    if not found:
        return ["nothing is pending"]
    width = max(len(f"{each.name}  {each.state}") for each in found)
    return [f"{f'{each.name}  {each.state}':{width}}  {_details(each)}".rstrip() for each in found]


def _details(each: Status) -> str:
    parts = []
    if each.applied_at:
        parts = [each.applied_at, f"{each.milliseconds} ms", *([f"by {each.host}"] if each.host else [])]
    notes = [
        text for text, is_so in (("breaking", each.breaking), ("no-transaction", each.transaction is False)) if is_so
    ]
    return "  ".join([*parts, *notes])


def _complain(error: MigrationError | DatabaseUnavailable, *, as_json: bool) -> None:
    print(json.dumps({"error": {"code": error.code, "what": str(error)}}) if as_json else error, file=sys.stderr)


@contextmanager
def _connection(settings: Settings, stopped: Callable[[], bool]) -> Iterator[Any]:
    """Yield a connection, and translate what goes wrong on it."""
    at = settings.owner or settings.database
    try:
        connection = connect_patiently(at, settings.database_wait, stop=stopped)
    except DatabaseUnavailable as error:
        migration_lock.refuse_when(stopped)
        raise DatabaseUnavailable(f"{error}: {_cause(error)}") from error
    try:
        yield connection
    except LOST as error:
        raise DatabaseUnavailable(f"the connection to {at} broke: {error}") from error
    except DatabaseError as error:
        raise migration_run.refusal(error) from error
    finally:
        with suppress(*LOST):
            connection.close()


def _run_patiently(connection: Any, migration: Migration, limits: Limits, stopped: Callable[[], bool]) -> None:
    """Run a migration; again, after a pause, when another connection's lock was in its way."""
    pause = limits.pause
    for left in reversed(range(limits.attempts)):
        migration_lock.refuse_when(stopped)
        try:
            migration_run.run(connection, migration, limits)
        except DatabaseError as error:
            if not migration_run.is_busy(error):
                raise
            if not left:
                raise migration_run.refusal(error, migration.name) from error
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


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
