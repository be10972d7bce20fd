"""Ask a service of this machine whether it can be used: over its own protocol, and within a second.

No library is imported for it: `./inv status` has 0.4 s for everything.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from dataclasses import dataclass
from http.client import HTTPException

from stackhand.local.engines import login
from stackhand.project.memory import HealthQuestion
from stackhand.project.stack.model import Service
from stackhand.system import http

ANSWER_WITHIN = 1.0
ALL_WITHIN = 1.2
"""Seconds for all questions together: more than one read may take, for a service may answer byte by byte."""
UP_AFTER = 2.0
"""Seconds that a service must have stayed up which nobody can ask: a wrong setting or import ends most programs sooner,
and `up` takes no longer for it."""
UNCHECKED = "running (no health check)"
STACK_HEADER = "X-Stack"
PROTOCOL_3 = 196608


@dataclass(frozen=True)
class Answer:
    """What a service said.

    Args:
        healthy: whether it can be used.
        message: the answer for people, such as `200 OK` or `connection refused`.
        milliseconds: how long it took.
        stack: the name of the stack it says it belongs to, where it says so.
    """

    healthy: bool
    message: str
    milliseconds: int = 0
    stack: str | None = None


def question(service: Service) -> HealthQuestion:
    """Return how a service is asked at its published port: over its own protocol as far as we know it."""
    main_port = service.main_port
    if main_port is None and service.health:
        return HealthQuestion("inside", port=service.exposed or 0, path=service.health)
    if main_port is None or main_port.published is None:
        return HealthQuestion()
    port, host = main_port.published, main_port.host.strip("[]")
    if service.health:
        return HealthQuestion("http", url=f"http://{main_port.host}:{port}{service.health}")
    if service.server == "postgres":
        user, _, database = login.wanted(service)
        return HealthQuestion("postgres", port=port, user=user, database=database, host=host)
    if service.server == "redis":
        return HealthQuestion("redis", port=port, password=login.of_cache(service), host=host)
    return HealthQuestion("tcp", port=port, host=host)


def address(service: Service) -> str:
    """Return where people reach a service: a URL, host:port, or nothing."""
    port = service.main_port
    if port is None or port.published is None:
        return ""
    return f"{'http://' if service.health else ''}{port.host}:{port.published}"


def ask(question: HealthQuestion) -> Answer:
    """Ask one question, as `question` makes them, and return the answer; never raises for a bad one."""
    started = time.monotonic()
    try:
        match question.kind:
            case "http":
                answer = _http(question.url)
            case "postgres":
                answer = _postgres(question)
            case "redis":
                answer = _redis(question)
            case "tcp":
                with socket.create_connection((question.host, question.port), timeout=ANSWER_WITHIN):
                    answer = Answer(healthy=True, message="port open")
            case "inside" | "process":
                answer = Answer(healthy=True, message=UNCHECKED)
    except TimeoutError:
        answer = Answer(healthy=False, message=f"no answer within {ANSWER_WITHIN:g} s")
    except ConnectionError as error:
        answer = Answer(healthy=False, message=(error.strerror or "connection lost").lower())
    except (OSError, HTTPException) as error:
        answer = Answer(healthy=False, message=str(error) or type(error).__name__)
    return Answer(answer.healthy, answer.message, round((time.monotonic() - started) * 1000), answer.stack)


def speaks_http(port: int) -> bool:
    """Whether what listens at a port of this machine answers in HTTP, with whatever status."""
    try:
        _http(f"http://127.0.0.1:{port}/")
    except (OSError, HTTPException):
        return False
    return True


def _http(url: str) -> Answer:
    response = http.get(url, timeout=ANSWER_WITHIN, headers={"Accept": "application/json"})
    body = response.body.decode("utf-8", "replace").strip()
    message = f"{response.status} {response.reason}" + ("" if response.ok or not body else f": {body[:300]}")
    return Answer(response.ok, message, stack=response.headers.get(STACK_HEADER))


def _postgres(question: HealthQuestion) -> Answer:
    """Begin to log in, as pg_isready does: a server that asks for the password accepts connections.

    https://www.postgresql.org/docs/16/protocol-message-formats.html (StartupMessage, AuthenticationRequest)
    """
    words = ("user", question.user, "database", question.database)
    payload = b"".join(word.encode() + b"\0" for word in words) + b"\0"
    with socket.create_connection((question.host, question.port), timeout=ANSWER_WITHIN) as connection:
        connection.sendall(struct.pack("!ii", 8 + len(payload), PROTOCOL_3) + payload)
        answer = connection.recv(1024)
    if answer[:1] == b"R":
        return Answer(healthy=True, message="accepting connections")
    reason = re.search(rb"\0M([^\0]+)", answer)
    return Answer(healthy=False, message=reason[1].decode("utf-8", "replace") if reason else "not PostgreSQL")


def _redis(question: HealthQuestion) -> Answer:
    secret = question.password.encode()
    with socket.create_connection((question.host, question.port), timeout=ANSWER_WITHIN) as connection:
        login = b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(secret), secret) if secret else b""
        connection.sendall(login + b"*1\r\n$4\r\nPING\r\n")
        answer = b""
        expected = 2 if secret else 1
        while answer.count(b"\r\n") < expected:
            received = connection.recv(4096)
            if not received:
                break
            answer += received
    last = answer.decode("utf-8", "replace").strip().splitlines()[-1:] or ["connection closed"]
    if not secret and last[0].startswith("-NOAUTH"):  # its password is not ours to know, and it answers
        return Answer(healthy=True, message="asks for a password")
    return Answer(last[0] == "+PONG", last[0].lstrip("+-"))
