"""A probe for each kind of dependency, and the components that the settings name.

A timeout limits each read, but not the whole check: a server that sends a byte now and then keeps every read short.
`abort` ends such a check by shutting down its connection.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import redis

from service import deadline, redis_client
from service.database import FalseServer, connect, tls_context
from service.health.component import Component, Probe, ProbeError
from service.pool import Pool
from service.redis_errors import UNAVAILABLE, reason_of
from service.settings import Address, Settings

KEY = "stackhand:probe"
KEPT_MS = 10_000
POSTGRES_ERRORS = {
    "28P01": "authentication",
    "28000": "authentication",
    "3D000": "no_such_database",
    "53300": "too_many_connections",
    "57P03": "starting",
}
USABLE = range(200, 400)
EXHAUSTED_FOR = 10.0
"""Seconds for which the database has a warning after its pool had no free connection."""


def components(settings: Settings, pool: Pool) -> dict[str, Component]:
    """Return the components that the settings name."""

    def warning() -> str:
        return "pool_exhausted" if time.monotonic() - pool.exhausted_at < EXHAUSTED_FOR else ""

    def component(name: str, kind: str, probe: Probe, *, critical: bool = False) -> Component:
        return Component(
            name,
            kind,
            probe,
            interval=settings.probe_interval,
            deadline=timeout,
            rise=settings.health_rise,
            fall=settings.health_fall,
            grace=settings.start_grace,
            critical=critical,
        )

    timeout = settings.probe_deadline
    all_of_them = [
        component("db", "datastore", Postgres(settings.database, timeout, warning), critical=True),
        component("cache", "datastore", Redis(settings.cache, timeout)),
        *(component(name, "component", Http(url, timeout)) for name, url in settings.health_targets),
    ]
    return {each.name: each for each in all_of_them}


class Postgres:
    """Asks PostgreSQL whether it accepts writes.

    Args:
        address: server and account.
        timeout: seconds for each read.
        warning: returns a code if something else knows the database to be degraded, else "".
    """

    def __init__(self, address: Address, timeout: float, warning: Callable[[], str] = lambda: "") -> None:
        self.address = f"{address.host}:{address.port}/{address.name}"
        self._server = address
        self._timeout = timeout
        self._warning = warning
        self._connection: Any = None
        self._handle: socket.socket | None = None

    def check(self) -> str:
        """See `Probe`. A replica fails: after a failover the connection may lead to one."""
        try:
            self._connection = self._connection or self._connect()
            recovering, read_only = self._connection.run(
                "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
            )[0]
        except BaseException as error:
            self._drop()
            if translated := _translate(error):
                raise translated from error
            raise
        if recovering or read_only:
            self._drop()  # a new connection resolves the name again, which may lead to the primary
            raise ProbeError("read_only", "it is a replica, or accepts no writes")
        return self._warning()

    def abort(self) -> None:
        """See `Probe`."""
        deadline.cut(self._handle)

    def _connect(self) -> Any:
        sock = socket.create_connection((self._server.host, self._server.port), self._timeout)
        # A second handle on the same connection, because TLS detaches the first.
        self._handle = sock.dup()
        try:
            return connect(self._server, self._timeout, sock=sock, application="stackhand-probe")
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
        address: server and account.
        timeout: seconds for each read.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = f"{address.host}:{address.port}/{address.name}"
        pool = redis_client.client(address, timeout=timeout, connections=1).connection_pool
        self._connection: Any = pool.make_connection()  # connects with the first command, and again after an error

    def check(self) -> str:
        """See `Probe`. A server that accepts no writes fails: it is useless as a cache."""
        try:
            for command in (("PING",), ("SET", KEY, "1", "PX", str(KEPT_MS))):
                self._connection.send_command(*command)
                self._connection.read_response()
        except BaseException as error:
            with suppress(Exception):
                self._connection.disconnect()
            if translated := _translate_redis(error):
                raise translated from error
            raise
        return ""

    def abort(self) -> None:
        """See `Probe`."""
        deadline.cut(getattr(self._connection, "_sock", None))


class Http:
    """Expects a status of 200 to 399 from a URL.

    Args:
        url: http or https.
        timeout: seconds for each read.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.address = url
        self._parts = urlsplit(url)
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def check(self) -> str:
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


def _translate(error: BaseException) -> BaseException | None:
    """Return an error that says more than this one, with PostgreSQL's reason as a code; None if there is none.

    It never returns the same error: an error raised from itself keeps all of its frames, and their sockets, until the
    garbage collector runs.
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


def _translate_redis(error: BaseException) -> BaseException | None:
    """Return the standard exception, or the reason as a code, for an error of redis-py; None if there is none."""
    if isinstance(error, redis.TimeoutError):
        return TimeoutError(str(error))
    if isinstance(error, redis.ConnectionError) and "refused" in str(error):
        return ConnectionRefusedError(str(error))
    reason = reason_of(error) if isinstance(error, Exception) else "other"
    return None if reason in UNAVAILABLE else ProbeError(reason, str(error))
