"""Connections to PostgreSQL; service/pool.py has those that requests share."""

from __future__ import annotations

import functools
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pg8000.dbapi
import pg8000.native
from pg8000.exceptions import InterfaceError
from scramp import ScramException

from service import deadline
from service.settings import Address

LOCK_TIMEOUT = 2.0
IDLE_IN_TRANSACTION = 10.0
"""Seconds after which PostgreSQL gives up waiting for a lock, and ends a transaction in which nothing happens."""
IN_CLEAR = 3
"""How a server asks for the password itself. Until 13 PostgreSQL asked for its MD5: no clear text either."""
READ_WITHIN = 10.0
"""Seconds that a server may take to answer somebody patient."""
LOST = (InterfaceError, OSError)
"""What pg8000 raises when a connection is of no use any more; a plain TimeoutError is among them."""


class DatabaseUnavailable(Exception):  # noqa: N818 - the state of a dependency, not a fault of ours
    """PostgreSQL did not let us in, or did not answer, within the time given."""

    code = "database_unavailable"


class PoolExhausted(DatabaseUnavailable):
    """All connections of the pool are in use, and none came back in time."""

    code = "pool_exhausted"


class QueryTimeout(DatabaseUnavailable):
    """PostgreSQL ended the query, for it took longer than it may."""

    code = "query_timeout"


class FalseServer(InterfaceError):  # type: ignore[misc]  # noqa: N818 - it is what answers
    """What answers is not our PostgreSQL: another account of the machine can take its port while it restarts."""


class _Native(pg8000.native.Connection):  # type: ignore[misc]
    """A connection that tells nobody its password."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802 - pg8000's name
        with _proving(self._usock, data):
            super().handle_AUTHENTICATION_REQUEST(data, context)


class _Dbapi(pg8000.dbapi.Connection):  # type: ignore[misc]
    """The same with cursors."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802 - pg8000's name
        with _proving(self._usock, data):
            super().handle_AUTHENTICATION_REQUEST(data, context)


@contextmanager
def _proving(sock: socket.socket, data: bytes) -> Iterator[None]:
    """Answer what a server asks for, but never with the password itself where TLS has not shown who asks."""
    (asked,) = struct.unpack_from("!i", data)
    if asked == IN_CLEAR and not isinstance(sock, ssl.SSLSocket):
        raise FalseServer(f"{_at(sock)} asks for the password in clear: it is not our PostgreSQL")
    try:
        yield
    except ScramException as error:
        raise FalseServer(f"{_at(sock)} does not know the password: it is not our PostgreSQL") from error


def _at(sock: socket.socket) -> str:
    host, port = sock.getpeername()[:2]
    return f"what answers at {host}:{port}"


@functools.lru_cache(maxsize=8)
def tls_context(ca: str) -> ssl.SSLContext:
    """Return the one context that verifies with this PEM bundle; with the system's, when it is empty.

    Making one takes 28 ms of CPU, so that it is not made for each connection.
    """
    context = ssl.create_default_context(cafile=ca or None)
    context.sslsocket_class = deadline.TlsSocket
    return context


def connect(
    address: Address,
    timeout: float,
    *,
    dbapi: bool = False,
    sock: socket.socket | None = None,
    statement_timeout: float | None = None,
    application: str = "stackhand",
) -> Any:
    """Return a connection in autocommit mode.

    Args:
        address: where, and as whom.
        timeout: seconds that the connecting, and then each read from the server, may take.
        dbapi: a connection with cursors, in place of pg8000's own kind.
        sock: a connected socket to use.
        statement_timeout: seconds after which PostgreSQL ends a query; None: it does not.
        application: the name under which pg_stat_activity has it.

    Raises:
        OSError: it cannot be reached, or its certificate is not to be trusted.
        pg8000.exceptions.Error: it refuses us, or is another one (`FalseServer`).
    """
    limits = {}
    if statement_timeout:
        limits = {
            "statement_timeout": str(round(statement_timeout * 1000)),
            "lock_timeout": str(round(LOCK_TIMEOUT * 1000)),
            "idle_in_transaction_session_timeout": str(round(IDLE_IN_TRANSACTION * 1000)),
        }
    connection = (_Dbapi if dbapi else _Native)(
        address.user,
        host=address.host,
        port=address.port,
        database=address.name,
        password=address.password,
        timeout=timeout,
        application_name=application,
        # False is "no TLS"; None would be "TLS with anybody, or none", which is neither
        ssl_context=tls_context(address.ca) if address.tls else False,
        startup_params=limits,
        sock=sock,
    )
    if dbapi:
        connection.autocommit = True
    return connection


def connect_patiently(address: Address, patience: float, *, stop: Callable[[], bool] = lambda: False) -> Any:
    """Return a connection as soon as the database gives one.

    Args:
        address: where, and as whom.
        patience: seconds to try.
        stop: ends the trying early.

    Raises:
        DatabaseUnavailable: it gave none within `patience` seconds.
    """
    until = time.monotonic() + patience
    while True:
        try:
            connection = connect(address, timeout=min(READ_WITHIN, max(1.0, until - time.monotonic())))
        except (OSError, pg8000.exceptions.Error) as error:
            if time.monotonic() > until or stop():
                raise DatabaseUnavailable(f"no connection to {address} within {patience:g} s") from error
            time.sleep(0.2)
        else:
            connection._usock.settimeout(READ_WITHIN)
            return connection
