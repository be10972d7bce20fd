"""One look at each kind of dependency.

A look has no time limit but that of its reads: a server that drips bytes keeps each of them short. `abort` ends it, by
shutting the connection down under it.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import redis

from service import deadline, redis_client
from service.database import FalseServer, connect, tls_context
from service.health.component import ProbeError
from service.settings import Address

KEY = "stackhand:probe"
KEPT_MS = 10_000
REDIS_CLASSES: dict[type[Exception], str] = {
    redis.BusyLoadingError: "loading",
    redis.AuthenticationError: "authentication",
    redis.ReadOnlyError: "read_only",
    redis.OutOfMemoryError: "out_of_memory",
    redis.exceptions.NoPermissionError: "permission",
}
REDIS_ERRORS = {"MISCONF": "cannot_persist", "MASTERDOWN": "primary_down"}
"""What redis-py has no class for, by the first word of the server's answer."""
POSTGRES_ERRORS = {
    "28P01": "authentication",
    "28000": "authentication",
    "3D000": "no_such_database",
    "53300": "too_many_connections",
    "57P03": "starting",
}
USABLE = range(200, 400)


class Postgres:
    """Asks PostgreSQL whether it can be written to.

    Args:
        address: where, and as whom.
        timeout: seconds for each read.
        warning: a word when the database can be used with a reservation that only others know of, else "".
    """

    def __init__(self, address: Address, timeout: float, warning: Callable[[], str] = lambda: "") -> None:
        self.address = f"{address.host}:{address.port}/{address.name}"
        self._to = address
        self._timeout = timeout
        self._warning = warning
        self._connection: Any = None
        self._handle: socket.socket | None = None

    def look(self) -> str:
        """See `Probe`; a replica, where a failover may have left us, is of no use."""
        try:
            self._connection = self._connection or self._connect()
            recovering, read_only = self._connection.run(
                "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
            )[0]
        except BaseException as error:
            self._drop()
            if told := _told(error):
                raise told from error
            raise
        if recovering or read_only:
            self._drop()  # a new connection resolves the name anew, which may lead to the primary
            raise ProbeError("read_only", "it is a replica, or takes no writes")
        return self._warning()

    def abort(self) -> None:
        """See `Probe`."""
        deadline.cut(self._handle)

    def _connect(self) -> Any:
        sock = socket.create_connection((self._to.host, self._to.port), self._timeout)
        # A second handle on the same connection, for TLS takes the first one away.
        self._handle = sock.dup()
        try:
            return connect(self._to, self._timeout, sock=sock, application="stackhand-probe")
        except BaseException:
            sock.close()
            raise

    def _drop(self) -> None:
        broken, self._connection = self._connection, None
        handle, self._handle = self._handle, None
        if broken is not None:
            with suppress(Exception):
                broken.close()
        if handle is not None:
            handle.close()


class Redis:
    """Sends PING, and writes a value, to a Redis-protocol server.

    Args:
        address: where, and as whom.
        timeout: seconds for each read.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = f"{address.host}:{address.port}/{address.name}"
        pool = redis_client.client(address, timeout=timeout, connections=1).connection_pool
        self._connection: Any = pool.make_connection()  # connects with the first command, and again after an error

    def look(self) -> str:
        """See `Probe`; a server that takes no writes is of no use as a cache."""
        try:
            for command in (("PING",), ("SET", KEY, "1", "PX", str(KEPT_MS))):
                self._connection.send_command(*command)
                self._connection.read_response()
        except BaseException as error:
            with suppress(Exception):
                self._connection.disconnect()
            if told := _told_by_redis(error):
                raise told from error
            raise
        return ""

    def abort(self) -> None:
        """See `Probe`."""
        deadline.cut(getattr(self._connection, "_sock", None))


class Http:
    """Wants an answer of 200 to 399 from a URL.

    Args:
        url: with http or https.
        timeout: seconds for each read.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.address = url
        self._parts = urlsplit(url)
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def look(self) -> str:
        """See `Probe`."""
        self._connection = connection = self._connect()
        try:
            path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
            connection.request("GET", path, headers={"User-Agent": "stackhand-probe", "Connection": "close"})
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            raise ProbeError("invalid", f"{type(error).__name__}: {error}") from error
        except socket.gaierror as error:
            raise ProbeError("no_such_host", str(error)) from error
        finally:
            connection.close()
        if status not in USABLE:
            raise ProbeError(f"http_{status}")
        return ""

    def abort(self) -> None:
        """See `Probe`."""
        deadline.cut(getattr(self._connection, "sock", None))

    def _connect(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "https":
            context: ssl.SSLContext = tls_context("")
            return http.client.HTTPSConnection(host, self._parts.port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(host, self._parts.port, timeout=self._timeout)


def _told(error: BaseException) -> BaseException | None:
    """Return what tells more than an error itself: one with a word for it, where PostgreSQL gave one.

    Never the error: one that is raised from itself keeps all of its frames, and a socket in them, until the garbage
    collector looks.
    """
    if isinstance(error, socket.gaierror):
        return ProbeError("no_such_host", str(error))
    if isinstance(error, ssl.SSLError):
        return ProbeError("certificate", str(error))
    if isinstance(error, FalseServer):
        return ProbeError("false_server", str(error))
    if isinstance(error.__cause__, ConnectionRefusedError):
        return ConnectionRefusedError(str(error))
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    code = POSTGRES_ERRORS.get(details.get("C", ""))
    return ProbeError(code, str(details.get("M"))) if code else None


def _told_by_redis(error: BaseException) -> BaseException | None:
    """Return an error as what it is, where that is not what it is already: redis-py has classes of its own for all."""
    text = str(error)
    if isinstance(error, redis.TimeoutError):
        return TimeoutError(text)
    if isinstance(error, redis.ConnectionError) and "refused" in text:
        return ConnectionRefusedError(text)
    code = next((code for kind, code in REDIS_CLASSES.items() if isinstance(error, kind)), "")
    code = code or next((code for word, code in REDIS_ERRORS.items() if text.startswith(word)), "")
    return ProbeError(code, text) if code else None
