"""Probes of real servers that are healthy, slow, silent, full, or the wrong ones."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis as redis_library

from service.database import connect
from service.health import probes
from service.health.component import Probe
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.proxy import Proxy
from tests.service.conftest import Server
from tests.service.stub_probe import check_result, component

Servers = dict[str, tuple[Server, Address]]
MAKERS: dict[str, Callable[[Address, float], Probe]] = {"postgres": probes.Postgres, "redis": probes.Redis}


def address_of(kind: str, settings: Settings) -> Address:
    return settings.database if kind == "postgres" else settings.cache


@contextmanager
def http_server(answer: bytes) -> Iterator[str]:
    """A server that gives every connection the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.recv(4096)
                    sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/healthz?deep=1"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("kind", MAKERS)
def test_probe_of_healthy_server_passes_repeatedly(kind: str, settings: Settings) -> None:
    found = component(MAKERS[kind](address_of(kind, settings), 5.0))
    assert [check_result(found) for _ in range(3)] == [("pass", "")] * 3
    found.stop()


@pytest.mark.parametrize("kind", MAKERS)
def test_probe_of_closed_port_reports_refused(kind: str, settings: Settings) -> None:
    nowhere = replace(address_of(kind, settings), port=1)
    assert check_result(component(MAKERS[kind](nowhere, 5.0))) == ("fail", "refused")


@pytest.mark.parametrize("kind", MAKERS)
def test_probe_of_unknown_host_fails(kind: str, settings: Settings) -> None:
    nowhere = replace(address_of(kind, settings), host="no-such-host.invalid")
    found = component(MAKERS[kind](nowhere, 5.0))
    assert check_result(found)[0] == "fail"


@pytest.mark.parametrize("mode", ["black-hole", "drip"])
@pytest.mark.parametrize("fresh", [True, False], ids=["while connecting", "while asking"])
@pytest.mark.parametrize("kind", MAKERS)
def test_check_ends_at_deadline_however_server_hangs(kind: str, fresh: bool, mode: str, settings: Settings) -> None:
    at = address_of(kind, settings)
    with Proxy(at.host, at.port) as proxy:
        found = component(MAKERS[kind](replace(at, port=proxy.port), 0.5), deadline=0.5)
        if not fresh:
            eventually(lambda: check_result(found) == ("pass", ""), "it passes")
        proxy.mode = mode
        began = time.monotonic()
        assert check_result(found) == ("fail", "timeout")
        assert time.monotonic() - began < 10
        proxy.mode = "pass"
        eventually(lambda: check_result(found) == ("pass", ""), "it passes again")
        found.stop()


@pytest.mark.parametrize("kind", MAKERS)
def test_probe_reconnects_after_reset(kind: str, settings: Settings) -> None:
    at = address_of(kind, settings)
    with Proxy(at.host, at.port) as proxy:
        found = component(MAKERS[kind](replace(at, port=proxy.port), 5.0))
        assert check_result(found) == ("pass", "")
        proxy.mode = "cut"
        assert check_result(found)[0] == "fail"
        proxy.mode = "pass"
        eventually(lambda: check_result(found) == ("pass", ""), "it passes again")
        found.stop()


def test_read_only_database_fails(settings: Settings) -> None:
    admin = connect(settings.database, 10)
    found = component(probes.Postgres(settings.database, 5.0))
    try:
        assert check_result(found) == ("pass", "")
        admin.run(f"ALTER DATABASE {settings.database.name} SET default_transaction_read_only = on")
        fresh = component(probes.Postgres(settings.database, 5.0))
        assert check_result(fresh) == ("fail", "read_only")
        admin.run("SET default_transaction_read_only = off")
        admin.run(f"ALTER DATABASE {settings.database.name} RESET default_transaction_read_only")
        # a new connection for each look, for it may lead elsewhere by now
        assert check_result(fresh) == ("pass", "")
        fresh.stop()
    finally:
        admin.close()
        found.stop()


@pytest.mark.parametrize(
    ("change", "word"), [({"name": "nothing"}, "no_such_database"), ({"user": "nobody"}, "authentication")]
)
def test_postgresql_refusal_has_a_code(settings: Settings, change: dict[str, str], word: str) -> None:
    found = component(probes.Postgres(replace(settings.database, **change), 5.0))
    assert check_result(found) == ("fail", word)


def test_probe_reconnects_after_server_close(settings: Settings) -> None:
    found = component(probes.Postgres(settings.database, 5.0))
    assert check_result(found) == ("pass", "")
    admin = connect(settings.database, 10)
    admin.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stackhand-probe'")
    admin.close()
    eventually(lambda: check_result(found) == ("pass", ""), "it passes again")
    found.stop()


def test_exhausted_pool_is_a_warning(settings: Settings) -> None:
    words = ["pool_exhausted", "", ""]
    found = component(probes.Postgres(settings.database, 5.0, lambda: words.pop(0)))
    assert check_result(found) == ("warn", "pool_exhausted")
    assert check_result(found) == ("pass", "")
    found.stop()


@pytest.mark.parametrize(
    ("configure", "restore", "word"),
    [
        (("CONFIG", "SET", "requirepass", "x"), ("CONFIG", "SET", "requirepass", ""), "authentication"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "out_of_memory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read_only"),
    ],
)
def test_cache_that_refuses_writes_fails_with_a_code(
    settings: Settings, configure: tuple[str, ...], restore: tuple[str, ...], word: str
) -> None:
    admin = redis_library.Redis(port=settings.cache.port, single_connection_client=True)
    found = component(probes.Redis(settings.cache, 5.0))
    admin.execute_command(*configure)
    try:
        assert check_result(found) == ("fail", word)
    finally:
        admin.execute_command(*restore)
        admin.close()
    eventually(lambda: check_result(found) == ("pass", ""), "it passes again")
    found.stop()


def test_wrong_password_is_reported(settings: Settings) -> None:
    found = component(probes.Redis(replace(settings.cache, password="wrong", user="nobody"), 5.0))
    assert check_result(found) == ("fail", "authentication")


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ("pass", "")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ("pass", "")),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", ("pass", "")),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ("fail", "http_404")),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", ("fail", "http_503")),
        (b"220 mail ESMTP\r\n", ("fail", "invalid")),
        (b"", ("fail", "invalid")),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", ("fail", "invalid")),
    ],
)
def test_http_probe_judges_the_answer(answer: bytes, result: tuple[str, str]) -> None:
    with http_server(answer) as url:
        assert check_result(component(probes.Http(url, 5.0))) == result


def test_http_probe_fails_dripping_server() -> None:
    class Drip(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 200:
                try:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.1)
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        found = component(probes.Http(f"http://127.0.0.1:{server.server_port}/", 5.0), deadline=0.5)
        began = time.monotonic()
        assert check_result(found) == ("fail", "timeout")
        assert time.monotonic() - began < 10
        server.shutdown()
