"""Sockets with a deadline for a whole block of code in a thread.

The timeout of a socket limits each read: a server that sends a byte now and then never exceeds it. Here every read gets
the time left until the deadline, below TLS as well, so that no library on top of the socket can wait longer.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class _Clock(threading.local):
    until = math.inf


_clock = _Clock()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Limit all operations of `Socket` and `TlsSocket` in this block and thread to so many seconds.

    An outer deadline still applies. An operation that exceeds the deadline raises TimeoutError.
    """
    before = _clock.until
    _clock.until = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _clock.until = before


def left() -> float | None:
    """Return the seconds until the deadline of this thread; None if there is none.

    Raises:
        TimeoutError: it has passed.
    """
    if _clock.until == math.inf:
        return None
    seconds = _clock.until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return seconds


@contextmanager
def _limited(sock: socket.socket) -> Iterator[None]:
    """Limit a socket to the deadline; a shorter timeout of its own remains."""
    own, seconds = sock.gettimeout(), left()
    if seconds is None or (own is not None and own <= seconds):
        yield
        return
    sock.settimeout(seconds)
    try:
        yield
    finally:
        sock.settimeout(own)


class Socket(socket.socket):
    """A TCP connection under the thread's deadline."""

    def recv(self, *args: Any) -> bytes:
        """See socket.socket."""
        with _limited(self):
            return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        """See socket.socket."""
        with _limited(self):
            return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        """See socket.socket."""
        with _limited(self):
            return super().send(*args)

    def sendall(self, *args: Any) -> None:
        """See socket.socket."""
        with _limited(self):
            super().sendall(*args)


class TlsSocket(ssl.SSLSocket):
    """A TLS connection under the thread's deadline; an SSLContext makes it when it is its `sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        """See ssl.SSLSocket."""
        with _limited(self):
            super().do_handshake(block)

    def recv(self, *args: Any) -> bytes:
        """See ssl.SSLSocket."""
        with _limited(self):
            return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        """See ssl.SSLSocket."""
        with _limited(self):
            return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        """See ssl.SSLSocket."""
        with _limited(self):
            return super().send(*args)


def dial(host: str, port: int) -> Socket:
    """Return a connection established within the deadline of the thread; the socket itself has no timeout.

    The deadline does not apply to name resolution, which has its own limits.

    Raises:
        OSError: the connection failed; TimeoutError: it took too long.
    """
    plain = socket.create_connection((host, port), left())
    sock = Socket(fileno=plain.detach())
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def cut(sock: socket.socket | None) -> None:
    """Shut down a connection that another thread reads from, without the TLS farewell."""
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
