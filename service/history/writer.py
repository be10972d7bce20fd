"""Write the waiting rounds to the database, on a separate connection."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pg8000.exceptions
import structlog

from service import deadline
from service.database import connect
from service.history import retention, store
from service.history.samples import Round
from service.history.spool import Backoff, Spool
from service.settings import Settings

log = structlog.get_logger()

BATCH = 200
"""Rounds that one transaction writes: a thousand samples of five components."""
BATCHES = 500
"""Maximum number of batches in one flush, more than memory and stream hold: an end even if Redis repeats itself."""
CONNECT_TIMEOUT = 1.0
CLOSE_TIMEOUT = 0.5
"""Seconds for the farewell on a connection that the server may no longer read."""
STATEMENT_TIMEOUT = 5.0
"""Seconds after which PostgreSQL cancels a statement."""
TRANSACTION_TIMEOUT = 8.0
"""Seconds for a whole transaction, whatever the server does; more than for one statement."""
DATA_EXCEPTION = "22"
"""The prefix of PostgreSQL's codes for invalid values."""
UNUSABLE = (OSError, pg8000.exceptions.Error)


class HistoryWriter:
    """Writes the rounds of a spool.

    Args:
        settings: of this process.
        spool: holds the rounds.
        needed: samples in a row that open or close an incident.
        now: the wall clock, in seconds since the epoch.
        ready: whether the schema exists; until then samples wait.
        stop: ends a long flush between two transactions.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        *,
        needed: int,
        now: Callable[[], float],
        ready: Callable[[], bool] = lambda: True,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.backoff = Backoff()
        self.refused = 0
        self._settings = settings
        self._spool = spool
        self._needed = needed
        self._now = now
        self._ready = ready
        self._stop = stop
        self._tidied_at = float("-inf")
        self._connection: Any = None
        self._handle: socket.socket | None = None

    def flush(self) -> bool:
        """Write the rounds in Redis and in memory; return whether all are written."""
        self._spool.push()
        if not self._ready() or not self.backoff.over():
            return False
        try:
            done = self._drain()
            self._tidy()
        except UNUSABLE as error:
            self._drop()
            if self.backoff.failed() == 1:
                log.warning("samples wait for the database", what=f"{type(error).__name__}: {error}")
            return False
        if self.backoff.passed():
            log.info("writing the history works again", dropped=self._spool.dropped + self.refused)
        return done

    def abort(self) -> None:
        """Make the current statement of another thread fail."""
        deadline.cut(self._handle)

    def close(self) -> None:
        """Close the connection."""
        self._drop()

    def _drain(self) -> bool:
        for _ in range(BATCHES):
            rounds = self._spool.take(BATCH)
            if not rounds:
                return True
            self.refused += self._write(rounds)
            if not self._spool.done(rounds) or self._stop():
                break
        return False

    def _write(self, rounds: Sequence[Round]) -> int:
        """Write rounds and return the number refused; one invalid round must not block the others."""
        try:
            return self._write_with_retry(rounds)
        except pg8000.exceptions.DatabaseError as error:
            if not _is_about_data(error):
                raise
            log.warning("the database refused a sample", rounds=len(rounds), what=str(error))
            return 1 if len(rounds) == 1 else sum(self._write([each]) for each in rounds)

    def _write_with_retry(self, rounds: Sequence[Round]) -> int:
        """Write rounds; retry once if the connection broke while it was idle."""
        reused = self._connection is not None
        try:
            with self._transaction() as connection:
                return store.write(connection, rounds, self._needed)
        except UNUSABLE as error:
            if not reused or _is_about_data(error):
                raise
            self._drop()
        with self._transaction() as connection:
            return store.write(connection, rounds, self._needed)

    def _tidy(self) -> None:
        """Remove expired history after everything is written: a late sample needs the samples around it."""
        now = self._now()
        if self._connection is None or abs(now - self._tidied_at) < retention.HOUR:
            return
        settings = self._settings
        removed = retention.tidy(
            self._transaction,
            now,
            minutes_days=settings.retention_minutes_days,
            days=settings.retention_days,
            stop=self._stop,
        )
        self._tidied_at = now
        if removed:
            log.info("old history removed", rows=removed)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with deadline.within(TRANSACTION_TIMEOUT):
            self._connection = self._connection or self._connect()
            self._connection.run("BEGIN")
            try:
                yield self._connection
                self._connection.run("COMMIT")
            except BaseException:
                with suppress(Exception):
                    self._connection.run("ROLLBACK")
                raise

    def _connect(self) -> Any:
        address = self._settings.database
        with deadline.within(CONNECT_TIMEOUT):
            sock = deadline.dial(address.host, address.port)
            # A second handle on the same connection, because TLS detaches the first.
            self._handle = sock.dup()
            try:
                return connect(
                    address,
                    CONNECT_TIMEOUT,
                    sock=sock,
                    statement_timeout=STATEMENT_TIMEOUT,
                    application="stackhand-history",
                )
            except BaseException:
                sock.close()
                raise

    def _drop(self) -> None:
        broken, self._connection = self._connection, None
        handle, self._handle = self._handle, None
        if broken is not None:
            with suppress(Exception), deadline.within(CLOSE_TIMEOUT):
                broken.close()
        if handle is not None:
            handle.close()


def _is_about_data(error: Exception) -> bool:
    """Return whether PostgreSQL refuses a value, so that a retry is pointless."""
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(details.get("C", "")).startswith(DATA_EXCEPTION)
