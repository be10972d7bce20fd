"""The lock that starters of one database take in turn, and what they say when somebody else keeps it."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from typing import Any

from service.migration.files import MigrationError

LOCK = 7_346_212_019
"""Key of the advisory lock: any number that nobody else uses."""
PAUSE = (0.05, 0.25)
"""Seconds between two attempts to take it: different ones, so that starters do not ask all at once."""

# Simple queries without parameters: a pooler may send each message of a prepared one to another backend.
_TAKE = f"SELECT pg_try_advisory_lock({LOCK})"
_WHO = "SELECT pg_backend_pid()"
_OURS = f"""
locktype = 'advisory' AND granted AND classid = {LOCK >> 32} AND objid = {LOCK & 0xFFFFFFFF} AND objsubid = 1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 - constants of ours, as below
_HELD = f"SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND {_OURS}"  # noqa: S608
_HOLDER = f"""
SELECT pid, application_name, backend_start FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) WHERE {_OURS}
"""  # noqa: S608


def take(connection: Any, timeout: float, stopped: Callable[[], bool]) -> None:
    """Take the lock by asking again and again; it is free as soon as its holder's connection ends.

    One that waits inside PostgreSQL would hold a snapshot, for which CREATE INDEX CONCURRENTLY of the holder waits:
    a deadlock.

    Args:
        connection: in autocommit mode.
        timeout: seconds to ask.
        stopped: ends the asking early.

    Raises:
        MigrationError: somebody else kept the lock (`locked`), we are to end (`stopped`), or the connection loses it
            (`pooler`).
    """
    deadline = time.monotonic() + timeout
    while not connection.run(_TAKE)[0][0]:
        refuse_when(stopped)
        if time.monotonic() > deadline:
            raise MigrationError("locked", _told(holder(connection), timeout))
        time.sleep(random.uniform(*PAUSE))  # noqa: S311 - nothing secret about it
    verify(connection)


def verify(connection: Any) -> None:
    """Make sure that the lock is held by the very backend that answers now.

    Raises:
        MigrationError: it is not (`pooler`).
    """
    if not connection.run(_HELD)[0][0]:
        raise _pooler()


def refuse_pooler(connection: Any, another: Callable[[], Any]) -> None:
    """Make sure that no pooler hands our statements to backends in turn, for a lock belongs to one backend.

    This comes before the lock is taken: one that is left behind at a pooler's backend would keep everybody out.

    Args:
        connection: to look at.
        another: makes a second one.

    Raises:
        MigrationError: there is such a pooler (`pooler`).
    """
    answering = {connection.run(_WHO)[0][0] for _ in range(3)}
    if answering == {_greeted_by(connection)}:
        return
    # A pooler it is. One that gives each client a backend for as long as it stays does no harm.
    second = another()
    try:
        answering_second = second.run(_WHO)[0][0]
    finally:
        second.close()
    if len(answering) > 1 or answering_second in answering:
        raise _pooler()


def refuse_when(stopped: Callable[[], bool]) -> None:
    """Stop here when we are to end.

    Raises:
        MigrationError: we are (`stopped`).
    """
    if stopped():
        raise MigrationError("stopped", "asked to end before the migrations were done; the next start goes on")


def holder(connection: Any) -> tuple[int, str, Any] | None:
    """Return who holds the lock, as process of the server, application and begin of its connection, if anybody."""
    rows = connection.run(_HOLDER)
    return (rows[0][0], rows[0][1] or "", rows[0][2]) if rows else None


def _told(row: tuple[int, str, Any] | None, timeout: float) -> str:
    text = f"another process has been migrating for more than {timeout:g} s"
    if row is None:
        return f"{text} and has just ended; start again"
    pid, application, since = row
    when = f", connected since {since.isoformat(timespec='seconds')}" if since else ""
    return f"{text}: {application or 'unnamed'}, pid {pid}{when}; wait for it, or SELECT pg_terminate_backend({pid})"


def _greeted_by(connection: Any) -> int:
    """Return the process that the server said it was when it greeted us; 0 when it said nothing."""
    key = connection._backend_key_data
    return int(struct.unpack_from("!i", key)[0]) if key else 0


def _pooler() -> MigrationError:
    return MigrationError(
        "pooler",
        "a pooler gives every transaction another backend, so that no lock lasts; "
        "give migrations the address of PostgreSQL itself, or of a pool in session mode",
    )
