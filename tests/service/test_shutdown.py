"""Shutdown: running requests finish, and the process stops in time."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.checkout import ROOT, eventually
from tests.service.process import NOWHERE, SLOW, Service


@contextmanager
def running(**environment: str) -> Iterator[Service]:
    """The service without dependencies, with a slow path."""
    found = Service(NOWHERE, command=SLOW, **{"DATABASE_WAIT": "3600", **environment})
    try:
        found.await_status("/health")
        yield found
    finally:
        found.kill()


class Caller(threading.Thread):
    """Sends a slow request."""

    def __init__(self, service: Service, seconds: float) -> None:
        super().__init__()
        self.path = f"/slow?seconds={seconds}"
        self.service = service
        self.sent = threading.Event()
        self.answer: tuple[int, bytes, str] | None = None
        self.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        connection.request("GET", self.path)
        self.sent.set()
        try:
            response = connection.getresponse()
            self.answer = response.status, response.read(), response.headers.get("Connection", "")
        except OSError:
            pass
        finally:
            connection.close()


def refused(service: Service) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", service.port), 5):
            return False
    except ConnectionRefusedError:
        return True


def events(out: str) -> list[str]:
    return [json.loads(line)["event"] for line in out.splitlines()]


def test_sigterm_finishes_long_request_and_refuses_new_ones() -> None:
    with running(SHUTDOWN_GRACE="3") as service:
        caller = Caller(service, 8.0)
        caller.sent.wait()
        assert service.status("/slow?seconds=0") == 200  # the long request has its thread by now
        began = time.monotonic()
        service.process.terminate()
        eventually(lambda: service.ask("/health/ready")[1]["phase"] == "draining", "load balancers can notice", 2.5)
        assert service.status("/health/ready") == 503
        assert service.status("/health") == 200
        assert service.status("/slow?seconds=0") == 200
        eventually(lambda: refused(service), "new connections are refused", 7)
        assert time.monotonic() - began >= 3
        assert service.process.poll() is None
        out, _ = service.process.communicate(timeout=30)
        caller.join()
        assert caller.answer is not None
        assert caller.answer[:2] == (200, b"done")
        assert service.process.returncode == 0
        assert [event for event in events(out) if event.startswith("stop")] == ["stopping", "stopped"]
        assert "requests cut off" not in events(out)


def test_second_sigterm_stops_at_once() -> None:
    with running(SHUTDOWN_GRACE="60", SHUTDOWN_WITHIN="120") as service:
        service.process.terminate()
        eventually(lambda: service.ask("/health/ready")[1]["phase"] == "draining", "it says that it leaves")
        service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=20)
        assert service.process.returncode == 0


def test_sigterm_cuts_off_endless_request() -> None:
    with running(SHUTDOWN_WITHIN="2") as service:
        caller = Caller(service, 40.0)
        caller.sent.wait()
        assert service.status("/slow?seconds=0") == 200
        began = time.monotonic()
        service.process.terminate()
        out, _ = service.process.communicate(timeout=30)
        assert time.monotonic() - began < 20
        assert "requests cut off" in events(out)
        assert service.process.returncode == 0
        caller.join()
        assert caller.answer is None


def test_sigterm_ignores_idle_connections() -> None:
    with running() as service, socket.create_connection(("127.0.0.1", service.port), 20) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in idle.recv(4096)
        began = time.monotonic()
        service.process.terminate()
        service.process.communicate(timeout=30)
        assert time.monotonic() - began < 10
        assert idle.recv(100) == b""


def test_sigterm_while_waiting_for_database_exits_0() -> None:
    with running() as service:
        assert service.ask("/health/ready")[1]["phase"] in {"starting", "migrating"}
        service.process.terminate()
        out, _ = service.process.communicate(timeout=30)
        assert service.process.returncode == 0
        assert "migration failed" not in events(out)


def test_defect_in_migrations_ends_process_with_one_line() -> None:
    service = Service(NOWHERE, command=SLOW, BROKEN_MIGRATIONS="1")
    try:
        out, _ = service.process.communicate(timeout=30)
    finally:
        service.kill()
    assert service.process.returncode == 1
    said = next(line for line in map(json.loads, out.splitlines()) if line["event"] == "migration failed")
    assert (said["code"], said["exception"][0]["exc_type"]) == ("internal", "KeyError")


def test_sigterm_before_listening_stops_it() -> None:
    for wait in (0.0, 0.05, 0.15, 0.3):
        service = Service(NOWHERE, DATABASE_WAIT="3600")
        time.sleep(wait)
        service.process.terminate()
        service.process.communicate(timeout=30)
        assert service.process.returncode in {0, -signal.SIGTERM}


def test_occupied_port_is_reported_in_one_line() -> None:
    with running() as service:
        other = Service(NOWHERE, PORT=str(service.port), DATABASE_WAIT="3600")
        out, _ = other.process.communicate(timeout=30)
        assert other.process.returncode == 3
        said = json.loads(out.splitlines()[-1])
        assert (said["event"], said["port"]) == ("cannot listen", service.port)


def test_container_check_prints_the_answer() -> None:
    with running() as service:
        words = [sys.executable, "-m", "service", "check"]
        said = subprocess.run(words, env=service.environment, capture_output=True, text=True, check=False, timeout=30)
        assert said.returncode == 1
        assert json.loads(said.stdout)["phase"] in {"starting", "migrating"}


def test_container_check_imports_next_to_nothing() -> None:
    code = "import sys; from service.__main__ import main; print(main(['check']), *sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"PORT": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    result, *modules = said.stdout.split()
    assert (result, "no answer" in said.stderr) == ("1", True)
    assert not {"argparse", "http.client", "re", "service.settings"} & set(modules)
