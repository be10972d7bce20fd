"""A pool of connections to PostgreSQL for requests (docs/decisions/009-pool.md)."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pg8000.dbapi
from pg8000.dbapi import DatabaseError

from service import deadline
from service.database import LOST, DatabaseUnavailable, PoolExhausted, QueryTimeout, connect
from service.settings import Address

CONNECT_TIMEOUT = 1.0
MARGIN = 1.0
"""Seconds beyond the limit of PostgreSQL for a statement: PostgreSQL reports first, unless it hangs."""
IDLE, FAILED = b"I", b"E"
"""The transaction status of a session: none, and failed, which allows only a rollback."""
TIMEOUTS = frozenset({"57014", "55P03"})
"""Codes for a cancelled statement: it took too long, or waited too long for a lock."""
UNUSABLE = ("08", "53", "57P", "25006")
"""Codes, or their prefixes, that make a connection useless: the server is full, stopping, or now a replica."""


class Pool:
    """Connections that requests borrow and return.

    The pool replaces a broken idle connection transparently. A call waits at most for a returned connection, for a new
    one, and for its statement; it never waits for the network traffic of another call.

    Args:
        address: of PostgreSQL.
        size: maximum number of connections; they are opened on first use.
        statement_timeout: seconds after which PostgreSQL cancels a query.
        wait: seconds to wait for a connection that another call returns.
        down: whether the database is known to be down: then no call waits for it.
    """

    def __init__(
        self,
        address: Address,
        *,
        size: int = 5,
        statement_timeout: float = 5.0,
        wait: float = 1.0,
        down: Callable[[], bool] = lambda: False,
    ) -> None:
        self.size = size
        self.exhausted_at = float("-inf")
        self.exhaustions = 0
        self.closed = False
        self._address = address
        self._statement_timeout = statement_timeout
        self._wait = wait
        self._down = down
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._in_use = 0

    @property
    def in_use(self) -> int:
        """Number of connections in use."""
        return self._in_use

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one read-only statement in its own transaction and return its rows.

        If the connection is broken, the pool sends the statement again on another one, once.

        Raises:
            DatabaseUnavailable: PostgreSQL is down, no connection was free in time, or the statement took too long.
            pg8000.exceptions.DatabaseError: the statement is invalid.
        """
        with self._slot():
            cursor = self._open(sql, parameters)
            try:
                return [tuple(row) for row in cursor.fetchall()]
            finally:
                self._return(cursor)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Yield a cursor in a transaction; commit at the end, roll back after an exception.

        Nothing is sent twice: a broken connection ends the transaction. If it breaks during the commit, the outcome is
        unknown.

        Raises:
            DatabaseUnavailable: as for `query`.
            pg8000.exceptions.DatabaseError: a statement is invalid, or an earlier one failed unnoticed.
        """
        with self._slot():
            cursor = self._open("BEGIN")
            try:
                yield cursor
                cursor.commit()
            except BaseException:
                cursor.roll_back()
                raise
            finally:
                self._return(cursor)

    def close(self) -> None:
        """Close idle connections now, and those in use when they are returned."""
        self.closed = True
        self._drop_idle()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Reserve one connection."""
        if self.closed:
            raise DatabaseUnavailable("the pool is closed")
        if self._down():
            raise DatabaseUnavailable("the last check of the database failed")
        if not self._free.acquire(timeout=self._wait):
            with self._lock:
                self.exhausted_at = time.monotonic()
                self.exhaustions += 1
            raise PoolExhausted(f"none of {self.size} connections was free within {self._wait:g} s")
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)
            self._free.release()

    def _count(self, change: int) -> None:
        with self._lock:
            self._in_use += change

    def _open(self, sql: str, parameters: Sequence[object] = ()) -> _Cursor:
        """Return a cursor after a statement that may safely be sent twice."""
        with deadline.within(CONNECT_TIMEOUT + self._statement_timeout + MARGIN):
            try:
                return self._run(sql, parameters)
            except _ConnectionLost:
                return self._run(sql, parameters)

    def _run(self, sql: str, parameters: Sequence[object]) -> _Cursor:
        cursor = _Cursor(self._take_idle() or self._connect(), self._statement_timeout + MARGIN)
        try:
            cursor.execute(sql, parameters)
        except BaseException:
            self._return(cursor)
            raise
        return cursor

    def _take_idle(self) -> Any:
        """Return the most recently used connection that still works, or None."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if _silent(connection):
                return connection
            _close(connection)

    def _connect(self) -> Any:
        try:
            with deadline.within(CONNECT_TIMEOUT):
                sock = deadline.dial(self._address.host, self._address.port)
                try:
                    return connect(
                        self._address,
                        CONNECT_TIMEOUT,
                        dbapi=True,
                        sock=sock,
                        statement_timeout=self._statement_timeout,
                    )
                except BaseException:
                    sock.close()
                    raise
        except (OSError, pg8000.exceptions.Error) as error:
            raise DatabaseUnavailable(f"no connection to {self._address}: {error}") from error

    def _return(self, cursor: _Cursor) -> None:
        """Keep a reusable connection. Otherwise close it and all idle ones, which may be broken for the same reason."""
        with self._lock:
            kept = cursor.reusable and not self.closed
            if kept:
                self._idle.append(cursor.session)
        if not kept:
            _close(cursor.session)
            self._drop_idle()

    def _drop_idle(self) -> None:
        with self._lock:
            dropped, self._idle = self._idle, []
        for connection in dropped:
            _close(connection)


class _ConnectionLost(DatabaseUnavailable):
    """The connection is broken; another one may work."""


class _Cursor(pg8000.dbapi.Cursor):  # type: ignore[misc]
    """A cursor with a time limit for statements, and with errors for requests.

    Args:
        session: a connection in autocommit mode.
        limit: seconds for one statement.
    """

    def __init__(self, session: Any, limit: float) -> None:
        super().__init__(session)
        self.session = session
        self._limit = limit
        self._in_step = True

    @property
    def reusable(self) -> bool:
        """Whether the connection has no unread answer and no open transaction."""
        return self._in_step and self.session._transaction_status == IDLE

    def execute(self, operation: str, args: Sequence[object] = (), stream: Any = None) -> Any:
        """See pg8000.

        Raises:
            DatabaseUnavailable: the connection is broken, or the statement was cancelled.
            pg8000.exceptions.DatabaseError: the statement is invalid.
        """
        # An exception raised into the thread, too, leaves an answer unread.
        self._in_step = False
        try:
            with deadline.within(self._limit):
                result = super().execute(operation, args, stream)
        except DatabaseError as error:
            self._in_step = not _code(error).startswith(UNUSABLE) or _code(error) in TIMEOUTS
            if unavailable := _unavailable(error):
                raise unavailable from error
            raise
        except LOST as error:
            if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                raise DatabaseUnavailable(f"no answer within {self._limit:g} s") from error
            raise _ConnectionLost(str(error)) from error
        self._in_step = True
        return result

    def commit(self) -> None:
        """Commit; raise if a statement failed, because PostgreSQL would silently roll back."""
        if self.session._transaction_status == FAILED:
            raise DatabaseError({"C": "25P02", "M": "a statement of the transaction failed"})
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Roll back if the connection still works."""
        if self._in_step:
            with suppress(Exception):
                self.execute("ROLLBACK")


def _silent(connection: Any) -> bool:
    """Return whether an idle connection has no input; input means that the server closes it."""
    poll = select.poll()
    poll.register(connection._usock, select.POLLIN)
    return not poll.poll(0)


def _close(connection: Any) -> None:
    with suppress(Exception), deadline.within(MARGIN):
        connection.close()


def _code(error: Exception) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(details.get("C", ""))


def _unavailable(error: Exception) -> DatabaseUnavailable | None:
    """Return the error for a request instead of PostgreSQL's; None if the statement is invalid."""
    if _code(error) in TIMEOUTS:
        return QueryTimeout(str(error.args[0].get("M")))
    if _code(error).startswith(UNUSABLE):
        return DatabaseUnavailable(str(error.args[0].get("M")))
    return None
