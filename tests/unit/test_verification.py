"""After the start: whoever answers at our addresses must be us."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import verification
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.memory import HealthQuestion


class Engine:
    """An engine with one service, as the test tells it."""

    stack = SimpleNamespace(name="shop", root=Path())

    def __init__(self, status: ServiceStatus, listeners: set[int], question: HealthQuestion | None = None) -> None:
        self._status, self._listeners = status, {status.name: listeners}
        self._question = question or HealthQuestion()
        self.names = [status.name]

    def services(self) -> list[str]:
        return self.names

    def stay_up(self) -> None:
        pass

    def status(self) -> list[ServiceStatus]:
        return [self._status]

    def listeners(self) -> dict[str, set[int]]:
        return self._listeners

    def question(self, _name: str) -> HealthQuestion:
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
    with pytest.raises(Failure, match="not api of this stack, listens at port 4000") as caught:
        verification.verify(Engine(status, set()))
    assert caught.value.code == ExitCode.PORT_TAKEN


def test_an_answer_of_another_stack_is_told(impostor: int) -> None:
    address = f"http://127.0.0.1:{impostor}"
    status = ServiceStatus("api", "healthy", "200 OK", address, [impostor])
    question = HealthQuestion("http", url=f"{address}/health")
    with pytest.raises(Failure, match=f"The stack 'elsewhere-0000', not 'shop', answers at {address}"):
        verification.verify(Engine(status, {impostor}, question))


def test_a_service_that_fell_ill_since_is_told() -> None:
    status = ServiceStatus("api", "unhealthy", "connection refused", ports=[4000])
    with pytest.raises(Failure, match="api was healthy, then failed: connection refused"):
        verification.verify(Engine(status, {4000}))


WELL = {"status": "pass", "checks": {"db": [{"status": "pass"}], "web": [{"status": "pass"}]}}
STARTING = {
    "status": "warn",
    "checks": {"db": [{"status": "pass"}], "web": [{"status": "unknown", "output": "refused"}]},
}


@contextmanager
def watching(*answers: object) -> Iterator[Engine]:
    """Give an engine whose service `watch` watches the others: `/health/all` gives these answers, the last for ever."""
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = (left.pop(0) if len(left) > 1 else left[0]) if self.path == "/health/all" else "no such path"
            self.send_response(404 if isinstance(found, str) else 200)
            self.end_headers()
            found = found.encode() if isinstance(found, str) else found
            self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        found = Engine(ServiceStatus("watch", "healthy", "200 OK", ports=[port]), {port})
        service = SimpleNamespace(port=port, environment={"HEALTH_TARGETS": ""})
        # nobody listens there, and nobody asks: the one watches nobody, the other does not run on this engine
        other = SimpleNamespace(port=1, environment={})
        left_out = SimpleNamespace(port=1, environment={"HEALTH_TARGETS": ""})
        services = {"other": other, "left-out": left_out, "watch": service}
        found.stack = SimpleNamespace(name="shop", services=services)
        found.names = ["other", "watch"]
        yield found
        server.shutdown()


def test_up_waits_until_the_overall_health_passes() -> None:
    with watching(STARTING, STARTING, WELL) as engine:
        assert not verification.passes(engine)
        verification.await_pass(engine, 5)
        assert verification.passes(engine)


def test_an_overall_health_with_a_number_that_is_none_still_counts() -> None:
    observed = {**STARTING, "observedValue": float("nan")}
    with watching(observed) as engine:
        assert not verification.passes(engine)


def test_an_overall_health_that_does_not_pass_in_time_names_the_component() -> None:
    with (
        watching(STARTING) as engine,
        pytest.raises(Failure, match="but watch does not report it: web has the status unknown: refused") as caught,
    ):
        verification.await_pass(engine, 0.1)
    assert (caught.value.code, caught.value.next) == (ExitCode.UNHEALTHY, "./inv logs watch")


@pytest.mark.parametrize(
    "answer",
    [
        "<h1>a page</h1>",
        '{"status": 404}',
        "[]",
        {"status": "pass"},
        {"checks": None},
        b'{"status":"\xe9","checks":{}}',
    ],
    ids=str,
)
def test_a_service_that_reports_no_overall_health_is_not_waited_for(answer: object) -> None:
    with watching(answer) as engine:
        verification.await_pass(engine, 0)


def test_an_overall_health_that_cannot_be_asked_for_does_not_pass() -> None:
    with watching(WELL) as engine:
        pass
    assert not verification.passes(engine)
