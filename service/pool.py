"""The connections to PostgreSQL that requests share (docs/decisions/009-pool.md)."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pg8000.dbapi
from pg8000.dbapi import DatabaseError, InterfaceError

from service import deadline
from service.database import DatabaseUnavailable, PoolExhausted, QueryTimeout, connect
from service.settings import Address

CONNECT_WITHIN = 1.0
"""Seconds the pool gives a connection to be made."""
MARGIN = 1.0
"""Seconds beyond PostgreSQL's own limit that a statement has: PostgreSQL's word on it comes first, unless it hangs."""
IDLE, FAILED = b"I", b"E"
"""What PostgreSQL says of a session: in no transaction, and in one that can only be rolled back."""
TIMEOUTS = frozenset({"57014", "55P03"})
"""Codes for a statement that was ended: it took too long, or waited too long for a lock."""
UNUSABLE = ("08", "53", "57P", "25006")
"""Codes, or how they begin, after which a connection is of no use: the server is full, going, or a replica now."""
LOST = (InterfaceError, OSError)
"""What pg8000 raises when a connection is of no use any more; a plain TimeoutError is among them."""


class Pool:
    """Connections that requests take and give back.

    A connection that broke meanwhile is replaced without its user noticing. No call waits longer than for a
    connection that is given back, one that is made, and the statement; nobody waits for what another one does with
    the network.

    Args:
        address: PostgreSQL.
        size: connections at most; they are made when first needed.
        statement_timeout: seconds after which PostgreSQL ends a query.
        wait: seconds to wait for a connection that somebody else gives back.
        down: whether the database is known to be down: then nobody waits for it.
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
        """How many connections are taken now."""
        return self._in_use

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement that only reads, in a transaction of its own, and return its rows.

        A broken connection is replaced, and the statement is sent again, once.

        Raises:
            DatabaseUnavailable: PostgreSQL is down, no connection was free in time, or the statement took too long.
            pg8000.exceptions.DatabaseError: the statement is wrong.
        """
        with self._slot():
            cursor = self._open(sql, parameters)
            try:
                return [tuple(row) for row in cursor.fetchall()]
            finally:
                self._give_back(cursor)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Yield a cursor in a transaction, which is committed at the end and rolled back if that is not reached.

        Nothing is sent twice: a connection that breaks in the middle ends the transaction. Where it breaks in the
        commit, whether that was done is not known.

        Raises:
            DatabaseUnavailable: as for `query`.
            pg8000.exceptions.DatabaseError: a statement is wrong, or one failed before and nobody was told.
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
                self._give_back(cursor)

    def close(self) -> None:
        """Close all connections that are not in use; those in use close when they are given back."""
        self.closed = True
        self._drop_idle()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Have the right to one connection."""
        if self.closed:
            raise DatabaseUnavailable("the pool is closed")
        if self._down():
            raise DatabaseUnavailable("the last look at the database failed")
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
        """Return a cursor that has run a statement which does no harm when it is sent twice."""
        with deadline.within(CONNECT_WITHIN + self._statement_timeout + MARGIN):
            try:
                return self._run(sql, parameters)
            except _ConnectionLost:
                return self._run(sql, parameters)

    def _run(self, sql: str, parameters: Sequence[object]) -> _Cursor:
        cursor = _Cursor(self._idle_one() or self._new_one(), self._statement_timeout + MARGIN)
        try:
            cursor.execute(sql, parameters)
        except BaseException:
            self._give_back(cursor)
            raise
        return cursor

    def _idle_one(self) -> Any:
        """Return the connection that was used last and is still good, or None."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                found = self._idle.pop()
            if _silent(found):
                return found
            _close(found)

    def _new_one(self) -> Any:
        try:
            with deadline.within(CONNECT_WITHIN):
                sock = deadline.dial(self._address.host, self._address.port)
                try:
                    return connect(
                        self._address,
                        CONNECT_WITHIN,
                        dbapi=True,
                        sock=sock,
                        statement_timeout=self._statement_timeout,
                    )
                except BaseException:
                    sock.close()
                    raise
        except (OSError, pg8000.exceptions.Error) as error:
            raise DatabaseUnavailable(f"no connection to {self._address}: {error}") from error

    def _give_back(self, cursor: _Cursor) -> None:
        """Keep a connection that somebody else can begin anew with; else close it, and all that may be as it is."""
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
    """The connection broke: it may be worth a try on another one."""


class _Cursor(pg8000.dbapi.Cursor):  # type: ignore[misc]
    """A cursor whose statements end in time, and whose errors say what a request has to know.

    Args:
        session: a connection in autocommit mode.
        limit: seconds for a statement, on the wall clock.
    """

    def __init__(self, session: Any, limit: float) -> None:
        super().__init__(session)
        self.session = session
        self._limit = limit
        self._in_step = True

    @property
    def reusable(self) -> bool:
        """Whether the connection has nothing unread, and no transaction."""
        return self._in_step and self.session._transaction_status == IDLE

    def execute(self, operation: str, args: Sequence[object] = (), stream: Any = None) -> Any:
        """See pg8000.

        Raises:
            DatabaseUnavailable: the connection is of no use any more, or the statement was ended.
            pg8000.exceptions.DatabaseError: the statement is wrong.
        """
        # Also for what is raised into the thread in the middle: then an answer is left unread.
        self._in_step = False
        try:
            with deadline.within(self._limit):
                found = super().execute(operation, args, stream)
        except DatabaseError as error:
            self._in_step = not _code(error).startswith(UNUSABLE) or _code(error) in TIMEOUTS
            if told := _told(error):
                raise told from error
            raise
        except LOST as error:
            if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                raise DatabaseUnavailable(f"no answer within {self._limit:g} s") from error
            raise _ConnectionLost(str(error)) from error
        self._in_step = True
        return found

    def commit(self) -> None:
        """Commit; PostgreSQL would answer this with a silent rollback when a statement has failed."""
        if self.session._transaction_status == FAILED:
            raise DatabaseError({"C": "25P02", "M": "a statement of the transaction failed"})
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Roll back, if the connection can still be told to."""
        if self._in_step:
            with suppress(Exception):
                self.execute("ROLLBACK")


def _silent(connection: Any) -> bool:
    """Return whether the server has said nothing on a connection that nobody uses; what it would say is good-bye."""
    poll = select.poll()
    poll.register(connection._usock, select.POLLIN)
    return not poll.poll(0)


def _close(connection: Any) -> None:
    with suppress(Exception), deadline.within(MARGIN):
        connection.close()


def _code(error: Exception) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return str(details.get("C", ""))


def _told(error: Exception) -> DatabaseUnavailable | None:
    """Return what a request has to know in place of PostgreSQL's answer; nothing when the statement is wrong."""
    if _code(error) in TIMEOUTS:
        return QueryTimeout(str(error.args[0].get("M")))
    if _code(error).startswith(UNUSABLE):
        return DatabaseUnavailable(str(error.args[0].get("M")))
    return None
