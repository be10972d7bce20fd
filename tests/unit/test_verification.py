"""After the start: whoever answers at our addresses must be us."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackhand import verification
from stackhand.engines.status import ServiceStatus
from stackhand.failure import ExitCode, Failure


class Engine:
    """An engine with one service, as the test tells it."""

    stack = SimpleNamespace(name="shop", root=Path())

    def __init__(self, status: ServiceStatus, listeners: set[int], question: dict[str, Any] | None = None) -> None:
        self._status, self._listeners = status, {status.name: listeners}
        self._question = question or {"kind": "process"}

    def stay_up(self) -> None:
        pass

    def status(self) -> list[ServiceStatus]:
        return [self._status]

    def listeners(self) -> dict[str, set[int]]:
        return self._listeners

    def question(self, _name: str) -> dict[str, Any]:
        return self._question

    def holder(self, port: int) -> str:
        return f"whoever holds {port}"


@pytest.fixture
def impostor() -> Iterator[int]:
    """A server that says it belongs to another stack."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("X-Stack", "elsewhere-0000")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_service_that_listens_itself_is_ours() -> None:
    status = ServiceStatus("api", "healthy", "200 OK", ports=[4000])
    assert verification.verify(Engine(status, {4000})) == [status]


def test_a_port_at_which_another_process_listens_is_told() -> None:
    status = ServiceStatus("api", "healthy", "200 OK", ports=[4000])
    with pytest.raises(Failure, match="api of this stack does not listen at port 4000") as caught:
        verification.verify(Engine(status, set()))
    assert caught.value.code == ExitCode.PORT_TAKEN


def test_an_answer_of_another_stack_is_told(impostor: int) -> None:
    address = f"http://127.0.0.1:{impostor}"
    status = ServiceStatus("api", "healthy", "200 OK", address, [impostor])
    question = {"kind": "http", "url": f"{address}/health"}
    with pytest.raises(Failure, match=f"{address} is answered by the stack 'elsewhere-0000', not by 'shop'"):
        verification.verify(Engine(status, {impostor}, question))


def test_a_service_that_fell_ill_since_is_told() -> None:
    status = ServiceStatus("api", "unhealthy", "connection refused", ports=[4000])
    with pytest.raises(Failure, match="api was healthy, and then it was not: connection refused"):
        verification.verify(Engine(status, {4000}))
