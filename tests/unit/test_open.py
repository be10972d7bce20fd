"""`./inv open` takes what answers in HTTP for a page, whether the Compose file has an x-health or not."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import engines, shell
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.memory import HealthQuestion


class Engine:
    """A stack as the test tells it."""

    def __init__(self, services: list[ServiceStatus], kinds: Mapping[str, Any]) -> None:
        self._services, self._kinds = services, kinds

    def runs(self) -> bool:
        return bool(self._services)

    def status(self) -> list[ServiceStatus]:
        return self._services

    def question(self, name: str) -> HealthQuestion:
        return HealthQuestion(self._kinds[name])


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)  # a site may have nothing at /

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def broker() -> Iterator[int]:
    """A port at which something else than HTTP is spoken."""

    def answer(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with closing(connection):
                connection.sendall(b"AMQP\x00\x00\x09\x01")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def opened(monkeypatch: pytest.MonkeyPatch, engine: Engine, *names: str) -> None:
    monkeypatch.setattr(engines, "remembered", lambda *_: engine)
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    shell.open_page(names)


def status_of(name: str, port: int, state: str = "healthy", scheme: str = "") -> ServiceStatus:
    return ServiceStatus(name, state, "port open", f"{scheme}127.0.0.1:{port}", [port])


def test_a_service_without_a_health_path_that_answers_in_http_has_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: int, broker: int
) -> None:
    services = [status_of("shop", site), status_of("queue", broker)]
    opened(monkeypatch, Engine(services, {"shop": "tcp", "queue": "tcp"}))
    said = capsys.readouterr()
    assert said.out == f"http://127.0.0.1:{site}\n"
    assert said.err == ""


def test_of_several_pages_the_last_is_opened_and_the_others_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: int
) -> None:
    services = [status_of("api", 4000, scheme="http://"), status_of("shop", site)]
    opened(monkeypatch, Engine(services, {"api": "http", "shop": "tcp"}))
    said = capsys.readouterr()
    assert said.out == f"http://127.0.0.1:{site}\n"
    assert said.err == "also: ./inv open api\n"


@pytest.mark.parametrize(
    ("names", "services", "failure"),
    [
        ((), [], (ExitCode.UNHEALTHY, "is not running.")),
        ((), ["queue"], (ExitCode.UNHEALTHY, "No running service answers HTTP at a published port.")),
        (("queue",), ["queue"], (ExitCode.USAGE, "'queue' serves no page.")),
        (("shop",), ["queue"], (ExitCode.USAGE, "There is no service 'shop' in this stack.")),
        (("ended",), ["ended"], (ExitCode.UNHEALTHY, "ended is not running: port open.")),
    ],
)
def test_what_cannot_be_opened_says_why(
    monkeypatch: pytest.MonkeyPatch,
    broker: int,
    names: tuple[str],
    services: list[str],
    failure: tuple[ExitCode, str],
) -> None:
    known = {"queue": status_of("queue", broker), "ended": status_of("ended", broker, "failed")}
    with pytest.raises(Failure) as raised:
        opened(monkeypatch, Engine([known[each] for each in services], {"queue": "tcp", "ended": "tcp"}), *names)
    assert raised.value.code == failure[0]
    assert raised.value.what.endswith(failure[1])
