"""A stub of the API behind nginx, and a client in front of it."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.checkout import Checkout

HTML_OK = "200 OK\r\nContent-Type: text/html"


class Api:
    """A server that sends the same answer to every request; without an answer it closes the connection."""

    def __init__(self, port: int) -> None:
        self.answer = ""
        self.context: ssl.SSLContext | None = None
        self.names: list[str | None] = []
        self._hanging = threading.Event()
        self._closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def says(self, body: str, head: str = HTML_OK) -> None:
        self.answer = f"HTTP/1.1 {head}\r\nContent-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}"

    def hang(self) -> None:
        """Answer no more requests, and keep their connections open."""
        self._hanging.set()

    def certified_by(self, certificate: Path, key: Path) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate, key)
        self.context.sni_callback = lambda _socket, name, _context: self.names.append(name)

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with self.context.wrap_socket(connection, server_side=True) if self.context else connection as client:
            client.recv(65_536)
            if self._hanging.is_set():
                self._closed.wait(30)
            client.sendall(self.answer.encode())


@contextmanager
def stub_api(site: Checkout) -> Iterator[Api]:
    """Run a stub behind the nginx of a site."""
    api = Api(site.ports["API_PORT"])
    try:
        yield api
    finally:
        api.close()


def ask(
    site: Checkout, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    """Return status, headers (in lower case) and body of an answer of nginx."""
    connection = http.client.HTTPConnection("127.0.0.1", site.ports["WEB_PORT"], timeout=10)
    connection.request(method, path, body, {"X-Request-ID": "mine-1", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text
