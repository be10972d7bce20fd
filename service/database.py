"""Connections to PostgreSQL; service/pool.py pools them for requests."""

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
"""Seconds after which PostgreSQL stops waiting for a lock, and ends an idle transaction."""
CLEARTEXT_PASSWORD = 3
"""The authentication request for a cleartext password. PostgreSQL up to 13 requests MD5, which is not cleartext."""
READ_WITHIN = 10.0
"""Seconds for each read on a connection of `connect_patiently`."""
LOST = (InterfaceError, OSError)
"""What pg8000 raises when a connection is broken; OSError includes TimeoutError."""


class DatabaseUnavailable(Exception):  # noqa: N818 - the state of a dependency, not a fault of ours
    """PostgreSQL refused the connection, or did not answer in time."""

    code = "database_unavailable"


class PoolExhausted(DatabaseUnavailable):
    """All connections of the pool are in use, and none was returned in time."""

    code = "pool_exhausted"


class QueryTimeout(DatabaseUnavailable):
    """PostgreSQL cancelled the query because it took too long."""

    code = "query_timeout"


class FalseServer(InterfaceError):  # type: ignore[misc]  # noqa: N818 - it names the server
    """An impostor answers: another account of the machine can take the port of PostgreSQL while it restarts."""


class _Native(pg8000.native.Connection):  # type: ignore[misc]
    """A connection that never reveals its password."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802 - pg8000's name
        with _verified(self._usock, data):
            super().handle_AUTHENTICATION_REQUEST(data, context)


class _Dbapi(pg8000.dbapi.Connection):  # type: ignore[misc]
    """The same with cursors."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802 - pg8000's name
        with _verified(self._usock, data):
            super().handle_AUTHENTICATION_REQUEST(data, context)


@contextmanager
def _verified(sock: socket.socket, data: bytes) -> Iterator[None]:
    """Answer an authentication request, but never with the cleartext password unless TLS has verified the server."""
    (method,) = struct.unpack_from("!i", data)
    if method == CLEARTEXT_PASSWORD and not isinstance(sock, ssl.SSLSocket):
        raise FalseServer(f"{_at(sock)} requests the cleartext password: it is not our PostgreSQL")
    try:
        yield
    except ScramException as error:
        raise FalseServer(f"{_at(sock)} does not know the password: it is not our PostgreSQL") from error


def _at(sock: socket.socket) -> str:
    host, port = sock.getpeername()[:2]
    return f"the server at {host}:{port}"


@functools.lru_cache(maxsize=8)
def tls_context(ca: str) -> ssl.SSLContext:
    """Return the context that verifies with this PEM bundle; empty: with the system's.

    Creating a context takes 28 ms of CPU, so connections share it.
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
        address: server and account.
        timeout: seconds for connecting, and then for each read.
        dbapi: return a connection with cursors instead of a native one.
        sock: a connected socket to use.
        statement_timeout: seconds after which PostgreSQL cancels a query; None: never.
        application: its name in pg_stat_activity.

    Raises:
        OSError: the server is unreachable, or its certificate is not trusted.
        pg8000.exceptions.Error: the server refuses the account, or is an impostor (`FalseServer`).
    """
    parameters = {"search_path": address.schema} if address.schema else {}
    if statement_timeout:
        parameters |= {
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
        # False means no TLS; None would mean unverified TLS, or none
        ssl_context=tls_context(address.ca) if address.tls else False,
        startup_params=parameters,
        sock=sock,
    )
    if dbapi:
        connection.autocommit = True
    return connection


def connect_patiently(address: Address, timeout: float, *, stop: Callable[[], bool] = lambda: False) -> Any:
    """Return a connection as soon as the database accepts one.

    Args:
        address: server and account.
        timeout: seconds to retry.
        stop: ends the retries early.

    Raises:
        DatabaseUnavailable: no connection within `timeout` seconds.
    """
    until = time.monotonic() + timeout
    while True:
        try:
            connection = connect(address, timeout=min(READ_WITHIN, max(1.0, until - time.monotonic())))
        except (OSError, pg8000.exceptions.Error) as error:
            if time.monotonic() > until or stop():
                raise DatabaseUnavailable(f"no connection to {address} within {timeout:g} s") from error
            time.sleep(0.2)
        else:
            connection._usock.settimeout(READ_WITHIN)
            return connection
