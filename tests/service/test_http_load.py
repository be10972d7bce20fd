"""Clients that hold connections: health answers meanwhile, and none stays for ever."""

from __future__ import annotations

import resource
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from service.http import limits
from tests.checkout import eventually
from tests.service.process import BODY_TIMEOUT, GET, HEADER_TIMEOUT, NOTES, NOWHERE, SLOW, Service, answers, prompt

PUT = b"PUT /api/incidents/1/note HTTP/1.1\r\nHost: x\r\n"
WRITER = f"Authorization: Bearer {NOTES}\r\n".encode()
LONG = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
KINDS = {
    "nothing": b"",
    "half a header": GET + b"X-A: ",
    "a whole request, and kept": GET + b"\r\n",
    "one byte of a body": PUT + b"Content-Length: 100\r\n\r\na",
    "one byte of a body, with the token": PUT + WRITER + b"Content-Length: 100\r\n\r\na",
    "one byte of a chunk": PUT + WRITER + b"Transfer-Encoding: chunked\r\n\r\n5\r\na",
    "a wait for 100": PUT + WRITER + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    "answers that nobody reads": LONG * 2,
}


@contextmanager
def crowd(service: Service, count: int, what: bytes) -> Iterator[list[socket.socket]]:
    """Hold so many connections, on each of which the same was sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 200), hard))
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            found.append(sock := socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(5)
            sock.connect(("127.0.0.1", service.port))
            sock.sendall(what)
        yield found
    finally:
        for sock in found:
            sock.close()


@pytest.fixture(scope="module")
def usual() -> Iterator[Service]:
    """The service with its own deadlines, so that nobody of a crowd is overdue while a test looks."""
    found = Service(NOWHERE, DATABASE_WAIT="3600", NOTES_TOKEN=NOTES)
    try:
        found.await_status("/health")
        yield found
    finally:
        found.kill()


@pytest.mark.parametrize("what", KINDS)
def test_health_answers_in_a_second_with_a_thousand_connections(usual: Service, what: str) -> None:
    assert limits.CONNECTIONS == 1000
    with crowd(usual, 1001, KINDS[what]):
        began = time.monotonic()
        assert prompt(usual)
        assert time.monotonic() - began < 0.8 * limits.HEADER_TIMEOUT  # so they were not just overdue
        assert usual.status("/version") == 200


def test_health_answers_without_free_descriptors() -> None:
    words = ["sh", "-c", f"ulimit -n 120; exec {shlex.join(SLOW)}"]
    service = Service(NOWHERE, command=words, DATABASE_WAIT="3600")
    try:
        service.await_status("/health")
        with crowd(service, 300, GET + b"\r\n"):
            assert prompt(service)
            assert service.status("/version") == 200
        assert psutil.Process(service.process.pid).num_fds() < 120
        assert "Traceback" not in service.end()
    finally:
        service.kill()


def test_soft_descriptor_limit_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert limits.connections() == limits.CONNECTIONS
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits.CONNECTIONS + limits.OWN
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_dripping_or_unreading_client_is_cut_off(lonely: Service) -> None:
    drips = [GET + b"X-A: ", PUT + WRITER + b"Content-Length: 1000\r\n\r\n"]
    drips += [PUT + WRITER + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"]
    drips += [PUT + WRITER + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"]
    began = time.monotonic()
    with crowd(lonely, len(drips), b"") as dripping, crowd(lonely, 1, LONG * 190) as unread:
        ours = {sock.getsockname()[1] for sock in [*dripping, *unread]}
        for sock, what in zip(dripping, drips, strict=True):
            sock.sendall(what)

        def held() -> set[int]:
            for sock in dripping:
                try:
                    sock.sendall(b"1")
                except OSError:
                    continue
            found = psutil.Process(lonely.process.pid).net_connections("tcp")
            return {each.raddr.port for each in found if each.raddr} & ours

        eventually(lambda: not held(), "all are cut off")
    assert time.monotonic() - began < 10 * max(HEADER_TIMEOUT, BODY_TIMEOUT)
    assert (limits.HEADER_TIMEOUT, limits.BODY_TIMEOUT, limits.READ_TIMEOUT) == (10.0, 5.0, 60.0)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (PUT, 401),
        (PUT + b"Authorization: Bearer x\r\n", 401),
        (b"POST /health HTTP/1.1\r\nHost: x\r\n", 405),
        (b"PUT /nothing HTTP/1.1\r\nHost: x\r\n", 404),
        (GET, 200),
        (PUT + WRITER + b"Content-Length: 70000\r\n", 413),
        (b"PUT /api/incidents/1/note HTTP/1.1\r\nHost: rebound.example.net\r\n" + WRITER, 421),
    ],
)
def test_answer_decided_by_header_precedes_body(lonely: Service, head: bytes, status: int) -> None:
    sizes = [
        b"Content-Length: 100\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 9\r\nExpect: 100-continue\r\n",
    ]
    behind = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"  # it may be the body, so it is no request
    for size in sizes[:1] if status == 413 else sizes:
        began = time.monotonic()
        said = lonely.raw(head + (b"" if status == 413 else size) + b"\r\n" + behind)
        assert answers(said) == [status]
        assert b"Connection: close" in said
        assert time.monotonic() - began < BODY_TIMEOUT
