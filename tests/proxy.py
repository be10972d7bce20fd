"""A TCP proxy for 127.0.0.1 that can be told to misbehave as networks and hung servers do."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

MODES = ("pass", "black-hole", "drip", "cut")
DRIP_EVERY = 0.2
HELD = 65_536
"""Bytes held of each direction; more stays with the sender."""


class Proxy:
    """Forwards what arrives at `port` to a target, in one thread however many connections there are.

    A mode holds for the connections there are, and for new ones: `pass` forwards, `black-hole` accepts and forwards
    nothing, `drip` gives the client a byte each 0.2 s, `cut` resets. What was held is forwarded when `pass` returns.

    Args:
        host: of the target.
        port: of the target.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._mode = "pass"
        self._links: list[_Link] = []
        self._next_drip = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def mode(self) -> str:
        """How it behaves now."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES:
            raise ValueError(f"{mode!r} is none of {', '.join(MODES)}")
        self._mode = mode
        self._wake.send(b".")

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._links)

    def close(self) -> None:
        """Reset every connection, refuse new ones, and wait for the thread."""
        if self._closing:
            return
        self._closing = True
        self._wake.send(b".")
        self._thread.join(10)
        assert not self._thread.is_alive(), "the proxy's thread hangs"
        for end in (self._wake, self._woken):  # not earlier: the thread may end before it is woken
            end.close()

    def _run(self) -> None:
        while not self._closing:
            self._wait()
            if self._mode == "cut":
                self._reset_all()
            elif self._mode != "black-hole":
                self._forward()
            self._links = [link for link in self._links if link.open]
        self._reset_all()
        self._listener.close()

    def _wait(self) -> None:
        """Wait until something can be done, and accept who is there."""
        dripping = self._mode == "drip"
        reading: list[socket.socket] = [self._listener, self._woken]
        writing: list[socket.socket] = []
        for link in self._links if self._mode != "black-hole" else ():
            reading += link.readable()
            writing += link.writable(to_client=not dripping)
        ready, _, _ = select.select(reading, writing, [], DRIP_EVERY if dripping else None)
        if self._woken in ready:
            self._woken.recv(HELD)
        if self._listener in ready:
            with suppress(OSError):
                self._links.append(_Link(self._listener.accept()[0]))

    def _forward(self) -> None:
        drip = self._mode == "drip"
        due = time.monotonic() >= self._next_drip
        if drip and due:
            self._next_drip = time.monotonic() + DRIP_EVERY
        for link in self._links:
            link.forward(self._target, (1 if due else 0) if drip else HELD)

    def _reset_all(self) -> None:
        for link in self._links:
            link.reset()
        self._links = []


class _Link:
    """A client, the target's end, and what each has sent and the other has not got yet."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._client.setblocking(False)
        self._server: socket.socket | None = None
        self._to_server, self._to_client = bytearray(), bytearray()
        self._client_ended = self._server_ended = False
        self.open = True

    def readable(self) -> list[socket.socket]:
        found = [self._client] if not self._client_ended and len(self._to_server) < HELD else []
        if self._server and not self._server_ended and len(self._to_client) < HELD:
            found.append(self._server)
        return found

    def writable(self, *, to_client: bool) -> list[socket.socket]:
        found = [self._client] if self._to_client and to_client else []
        return [*found, self._server] if self._server and self._to_server else found

    def forward(self, target: tuple[str, int], allowed: int) -> None:
        """Move what can be moved without waiting; to the client `allowed` bytes at most."""
        try:
            if self._server is None:
                self._server = socket.create_connection(target, 2)
                self._server.setblocking(False)
            self._client_ended |= _read(self._client, self._to_server, ended=self._client_ended)
            self._server_ended |= _read(self._server, self._to_client, ended=self._server_ended)
            _write(self._server, self._to_server, HELD)
            _write(self._client, self._to_client, allowed)
            self._pass_ends_on(self._server)
        except OSError:
            self.reset()

    def reset(self) -> None:
        """Close both ends in the way that the other side notices as a reset."""
        self.open = False
        for end in (self._client, self._server):
            if end is not None:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    def _pass_ends_on(self, server: socket.socket) -> None:
        if self._server_ended and not self._to_client:
            self.open = False
            self._client.close()
            server.close()
        elif self._client_ended and not self._to_server:
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)


def _read(source: socket.socket, held: bytearray, *, ended: bool) -> bool:
    """Take what is there, and return whether that was the end."""
    if ended or len(held) >= HELD:
        return False
    try:
        block = source.recv(HELD - len(held))
    except BlockingIOError:
        return False
    held += block
    return not block


def _write(sink: socket.socket, held: bytearray, allowed: int) -> None:
    if held and allowed:
        with suppress(BlockingIOError):
            del held[: sink.send(held[:allowed])]
