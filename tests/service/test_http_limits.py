"""Slow, numerous, large and vanishing clients, and what they cost other clients."""

from __future__ import annotations

import socket
import threading
import time

from service.http import limits
from tests.checkout import eventually
from tests.service.process import GET, HEADER_TIMEOUT, Service, answers, together


def test_pipelined_requests_are_answered_in_order(lonely: Service) -> None:
    slow = b"GET /slow?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answers(lonely.raw((GET + b"\r\n") * 2 + slow + (GET + b"\r\n") * 30 + last)) == [200] * 33 + [404]


def test_thousand_pipelined_requests_are_all_answered(lonely: Service) -> None:
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answers(lonely.raw((GET + b"\r\n") * 1000 + last)) == [200] * 1000 + [404]


def test_health_is_answered_while_all_threads_are_busy(lonely: Service) -> None:
    callers = [threading.Thread(target=lonely.status, args=("/slow?seconds=0.8",)) for _ in range(20)]
    for caller in callers:
        caller.start()
    try:
        eventually(lambda: lonely.status("/health") == 200, "the service answers")
        times = []
        while any(caller.is_alive() for caller in callers) and len(times) < 100:
            began = time.monotonic()
            assert lonely.request("/health").status == 200
            assert lonely.request("/health/db").status == 503
            assert lonely.request("/health", Origin="https://status.example.com").status == 200
            times.append(time.monotonic() - began)
        assert len(times) > 10  # twenty requests take four threads 4 s
        assert min(times) < 1.0
    finally:
        for caller in callers:
            caller.join()


def test_requests_beyond_the_queue_are_refused_at_once(lonely: Service) -> None:
    sockets = []
    try:
        for _ in range(160):
            sock = socket.create_connection(("127.0.0.1", lonely.port), 30)
            sock.sendall(b"GET /slow?seconds=0.2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            sockets.append(sock)
        heads = [sock.makefile("rb").read() for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
    statuses = {status for head in heads for status in answers(head)}
    assert statuses == {200, 503}
    refused = next(head for head in heads if b" 503 " in head)
    assert b"Retry-After: " in refused
    assert b'"code": "overloaded"' in refused


def test_idle_connections_outlive_those_of_a_load_balancer(lonely: Service) -> None:
    load_balancer = 60  # seconds, AWS's default: whoever closes first loses a request to the other
    assert load_balancer < limits.adjustments().channel_timeout
    with socket.create_connection(("127.0.0.1", lonely.port), 20) as sock:
        for idle in (1.5 * HEADER_TIMEOUT, 0):  # the server looks each second at who has had his time
            sock.sendall(GET + b"\r\n")
            assert b"200 OK" in sock.recv(4096)
            time.sleep(idle)


def answered(service: Service, route: str) -> int:
    """Return how many requests to a route the service has answered."""
    text = service.request("/metrics").body.decode()
    return sum(int(float(line.split()[-1])) for line in text.splitlines() if f'"{route}"' in line and "_count{" in line)


def test_pipelining_client_that_does_not_read_is_cut_off(lonely: Service) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", lonely.port))
        sock.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 190)  # nine megabytes of answers
        assert b"200 OK" in sock.recv(16)
        assert {status for status, _ in together(20, lonely, "/version")} == {200}
        # whoever reads while they are still made gets them all, as he should
        eventually(
            lambda: answered(lonely, "/openapi.json") == (time.sleep(1), answered(lonely, "/openapi.json"))[1],
            "it ends",
        )
        assert answered(lonely, "/openapi.json") > 0
        got = answers(sock.makefile("rb").read())  # up to the end: the connection is closed
    assert 1 <= len(got) < 189


def test_client_that_disconnects_midway_harms_no_other(lonely: Service) -> None:
    for path in (b"/slow?seconds=0.1", b"/health", b"/broken"):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", lonely.port), 5) as sock:
                sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert lonely.request("/slow?seconds=0").status == 200
    assert lonely.request("/health").status == 200
