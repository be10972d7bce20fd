"""Clients of the Redis-protocol server, with timeouts for a server that may be down."""

from __future__ import annotations

import math
import ssl
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service import deadline
from service.database import tls_context
from service.settings import Address


def client(address: Address, *, timeout: float, connections: int = 8) -> redis.Redis:
    """Return a client, which connects with its first command.

    Args:
        address: server and account.
        timeout: seconds for connecting, and for each read.
        connections: maximum number; one more raises `redis.MaxConnectionsError`.
    """
    tls: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_ca_certs": address.ca or None} if address.tls else {}
    pool = redis.ConnectionPool(
        connection_class=_TlsConnection if address.tls else _Connection,
        host=address.host,
        port=address.port,
        username=address.user or None,
        password=address.password or None,
        db=int(address.name or 0),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),  # redis-py 8 retries ten times by default
        max_connections=connections,
        **tls,
    )
    return redis.Redis.from_pool(pool)  # so that close() closes its connections


class _Connection(redis.Connection):
    """A connection with the deadline of the thread that uses it."""

    def _connect(self) -> deadline.Socket:
        return _dial(self)


class _TlsConnection(redis.SSLConnection):
    """The same with TLS and a shared context: redis-py creates one per connection, in 28 ms of CPU."""

    def _connect(self) -> ssl.SSLSocket:
        sock = _dial(self)
        try:
            return tls_context(self.ca_certs or "").wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise


def _dial(connection: redis.Connection) -> deadline.Socket:
    with deadline.within(connection.socket_connect_timeout or math.inf):
        sock = deadline.dial(connection.host, connection.port)
    sock.settimeout(connection.socket_timeout)
    return sock
