"""What another account does when it has PostgreSQL's place for a moment: it asks for the password, and listens."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CLEAR = struct.pack("!ciI", b"R", 8, 3)
MD5 = struct.pack("!ciI4s", b"R", 12, 5, b"salt")
SASL = struct.pack("!ciI", b"R", 23, 10) + b"SCRAM-SHA-256\0\0"
GOOD_BYE = struct.pack("!cI", b"X", 4)
FIRST = b"r=guessed,s=c2FsdA==,i=4096"
GUESS = struct.pack("!cII", b"R", 8 + len(FIRST), 11) + FIRST
PROTOCOL_3 = 196608


@contextmanager
def impostor(listener: socket.socket, asks: bytes) -> Iterator[list[bytes]]:
    """Ask everybody who connects for the password, and list what they say to that, but for a good-bye."""
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(5)
                _greet(sock)
                sock.sendall(asks)
                heard.append(_rest(sock))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _greet(sock: socket.socket) -> None:
    """Read a StartupMessage; no to TLS and to Kerberos, which libpq asks for before."""
    while True:
        length, code = struct.unpack("!iI", sock.recv(8, socket.MSG_WAITALL))
        if code == PROTOCOL_3:
            sock.recv(length - 8, socket.MSG_WAITALL)
            return
        sock.sendall(b"N")


def _rest(sock: socket.socket) -> bytes:
    found = b""
    try:
        while received := sock.recv(4096):
            found += received
            if received[:1] == b"p":
                sock.sendall(GUESS)
    except OSError:
        pass
    return found.removesuffix(GOOD_BYE)
