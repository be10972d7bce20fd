"""Sockets that keep to a wall-clock deadline of the thread that uses them.

A socket's own timeout is for each read: a server that sends a byte now and then never exceeds it. Here every read gets
what is left until the deadline, also below TLS, so that nothing that is built on sockets can wait longer.
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
    """Give this thread's `Socket` and `TlsSocket` so many seconds for all that they do in the block.

    It is never more than what is left outside. What is not done by then raises TimeoutError.
    """
    before = _clock.until
    _clock.until = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _clock.until = before


def left() -> float | None:
    """Return the seconds until this thread's deadline; None when it has none.

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
def _hurried(sock: socket.socket) -> Iterator[None]:
    """Have a socket wait no longer than until the deadline; a shorter timeout of its own stays."""
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

    def recv(self, *given: Any) -> bytes:
        """See socket.socket."""
        with _hurried(self):
            return super().recv(*given)

    def recv_into(self, *given: Any) -> int:
        """See socket.socket."""
        with _hurried(self):
            return super().recv_into(*given)

    def send(self, *given: Any) -> int:
        """See socket.socket."""
        with _hurried(self):
            return super().send(*given)

    def sendall(self, *given: Any) -> None:
        """See socket.socket."""
        with _hurried(self):
            super().sendall(*given)


class TlsSocket(ssl.SSLSocket):
    """A TLS connection under the thread's deadline; an SSLContext makes it when it is its `sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        """See ssl.SSLSocket."""
        with _hurried(self):
            super().do_handshake(block)

    def recv(self, *given: Any) -> bytes:
        """See ssl.SSLSocket."""
        with _hurried(self):
            return super().recv(*given)

    def recv_into(self, *given: Any) -> int:
        """See ssl.SSLSocket."""
        with _hurried(self):
            return super().recv_into(*given)

    def send(self, *given: Any) -> int:
        """See ssl.SSLSocket."""
        with _hurried(self):
            return super().send(*given)


def dial(host: str, port: int) -> Socket:
    """Return a connection made within the thread's deadline; it has no timeout but that of its users.

    The resolver has limits of its own.

    Raises:
        OSError: it cannot be made; a TimeoutError when it took too long.
    """
    plain = socket.create_connection((host, port), left())
    sock = Socket(fileno=plain.detach())
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def cut(sock: socket.socket | None) -> None:
    """Shut a connection down under another thread that reads from it, without the good-bye that TLS would say."""
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
