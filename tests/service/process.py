"""The service as a process, with a client that uses real connections."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.migration import migrate
from service.settings import Address, Settings
from tests.checkout import eventually, free_ports

SLOW = [sys.executable, "-m", "tests.service.slow_service"]
"""The service with one more path, /slow?seconds=N, which a thread answers after that time."""
TOKEN = "a-token-of-the-tests"
NOTES = "another-token-of-the-tests"
HEADER_TIMEOUT = 2.0
"""Seconds that a request's header has in the process that tests of HTTP share, so that they do not wait for ten."""
NOWHERE = Settings("127.0.0.1", 0, Address("127.0.0.1", 1, "x", "", "x"), Address("127.0.0.1", 1, "", "", "0"))
BODY_TIMEOUT = 1.0
"""And its body, and whoever reads its answer."""
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
"""What a request begins with; a line break ends it."""


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """The service as a process."""

    def __init__(
        self,
        settings: Settings,
        *,
        command: list[str] | None = None,
        stdout: int = subprocess.PIPE,
        **environment: str,
    ) -> None:
        self.settings = settings
        self.port = free_ports()["API_PORT"]
        self.environment = {
            "PORT": str(self.port),
            "DATABASE_URL": database_url(settings.database),
            "REDIS_URL": f"redis://{settings.cache.host}:{settings.cache.port}/0",
            "PROBE_INTERVAL": "0.2",
            "STACK": "shop",
            "ALLOWED_HOSTS": "x",  # of requests that tests write out
            **environment,
        }
        command = command or [sys.executable, "-m", "service", "serve"]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=stdout, stderr=subprocess.STDOUT, text=True
        )

    def request(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def ask(self, path: str, method: str = "GET") -> tuple[int, Any, http.client.HTTPMessage]:
        answer = self.request(path, method)
        return answer.status, answer.json if answer.body else None, answer.headers

    def status(self, path: str) -> int:
        try:
            return self.request(path).status
        except OSError:
            return 0

    def raw(self, request: bytes, seconds: float = 5.0) -> bytes:
        """Send bytes as they are and return all that comes back until the server closes, or `seconds` of silence."""
        with socket.create_connection(("127.0.0.1", self.port), seconds) as sock:
            sock.sendall(request)
            found = b""
            try:
                while part := sock.recv(65536):
                    found += part
            except TimeoutError:
                pass
            return found

    def await_status(self, path: str, status: int = 200) -> None:
        def answered() -> bool:
            assert self.process.poll() is None, self.process.communicate()[0]
            return self.status(path) == status

        eventually(answered, f"{path} answers {status}")

    def end(self) -> str:
        self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        return out

    def kill(self) -> None:
        """End it whatever it does; for tests' own ends."""
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stdout or not self.process.stdout.closed:
            self.process.communicate()


@contextmanager
def ready(settings: Settings, **environment: str) -> Iterator[Service]:
    """Run the service meanwhile, from when it is ready and all components pass."""
    migrated(settings)
    found = Service(settings, **environment)
    try:
        found.await_status("/health/ready")
        eventually(lambda: found.ask("/health/all")[1]["status"] == "pass", "all components pass")
        yield found
    finally:
        found.kill()


def migrated(settings: Settings) -> Settings:
    """Bring the database to the schema, as the job does before a service starts."""
    migrate.apply(settings, migrate.read())
    return settings


def database_url(address: Address) -> str:
    return f"postgresql://{address.user}@{address.host}:{address.port}/{address.name}"


def answers(raw: bytes) -> list[int]:
    """Return the statuses of the answers that came over one connection."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", raw)]


def prompt(service: Service, path: str = "/health") -> bool:
    """Whether a path is answered with 200 within a second: at once, or as soon as this busy machine gets to it."""

    def answered() -> bool:
        began = time.monotonic()
        return service.status(path) == 200 and time.monotonic() - began < 1.0

    return answered() or answered() or answered()


def together(count: int, service: Service, path: str) -> list[tuple[int, float]]:
    """Ask the same from many threads at once; return status and seconds of each."""
    found: list[tuple[int, float]] = []
    barrier = threading.Barrier(count)

    def ask() -> None:
        barrier.wait()
        began = time.monotonic()
        found.append((service.status(path), time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
