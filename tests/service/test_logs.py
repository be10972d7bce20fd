"""The log on stdout: JSON lines, or text on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from service.http.middleware import Middleware
from tests.checkout import eventually
from tests.service.process import NOWHERE, SLOW, Service, answers

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
AMAZON = "Root=1-67891233-abcdef012345678912345678"


@pytest.fixture(scope="module")
def lines() -> Iterator[list[dict[str, Any]]]:
    """What a process without any dependency wrote until its end, when it had been asked a few things."""
    service = Service(NOWHERE, command=SLOW, DATABASE_WAIT="3600", METRICS_EMF="1", ENVIRONMENT="staging")
    try:
        service.await_status("/health")
        headers = {"X_Request_ID": "an-id", "Traceparent": TRACE, "X_Amzn_Trace_Id": AMAZON}
        service.request("/version", **headers, User_Agent='a "quoted" one \xff' + "x" * 300)
        service.request("/nothing?password=secret", X_Request_ID="not there")
        service.request("/broken", X_Request_ID="broken")
        service.request("/health/db", X_Request_ID="quiet", Authorization="Bearer x")
        service.raw(b"nonsense\r\n\r\n")
        service.request("/thread")
        yield [json.loads(line) for line in service.end().splitlines()]
    finally:
        service.kill()


def one(lines: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    (found,) = [line for line in lines if fields.items() <= line.items()]
    return found


def test_log_line_has_time_level_and_event(lines: list[dict[str, Any]]) -> None:
    logged = [line for line in lines if "_aws" not in line]
    assert [list(line)[:3] for line in logged] == [["time", "level", "event"]] * len(logged)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["time"]) for line in logged)
    assert logged[-1]["event"] == "stopped"


def test_request_is_logged_with_its_ids(lines: list[dict[str, Any]]) -> None:
    line = one(lines, event="request", request_id="an-id")
    assert (line["method"], line["path"], line["status"], line["client"]) == ("GET", "/version", 200, "127.0.0.1")
    assert (line["trace_id"], line["amzn_trace_id"]) == ("a" * 32, AMAZON)
    assert line["ms"] >= 0
    assert line["bytes"] > 0
    assert len(line["agent"]) == 200
    assert line["agent"].startswith('a "quoted" one')


def test_request_ids_do_not_leak_to_next_request(lines: list[dict[str, Any]]) -> None:
    line = one(lines, event="request", path="/nothing")
    assert (line["status"], line["level"]) == (404, "info")
    assert re.fullmatch("[0-9a-f]{32}", line["request_id"])
    assert {"trace_id", "amzn_trace_id"}.isdisjoint(line)
    assert "secret" not in json.dumps(line)


def test_exception_is_logged_as_fields_of_one_line(lines: list[dict[str, Any]]) -> None:
    line = one(lines, event="request failed")
    assert (line["level"], line["request_id"], line["path"]) == ("error", "broken", "/broken")
    assert line["exception"][0]["exc_type"] == "RuntimeError"
    frames = line["exception"][0]["frames"]
    assert any(frame["name"] == "broken" for frame in frames)
    assert not [frame for frame in frames if frame.get("locals")]  # a variable may be a password
    assert one(lines, event="request", request_id="broken")["level"] == "error"


def test_uncaught_thread_exception_is_logged(lines: list[dict[str, Any]]) -> None:
    line = one(lines, event="thread failed")
    assert (line["level"], line["thread"]) == ("error", "one-of-ours")
    assert line["exception"][0]["exc_type"] == "RuntimeError"


def test_health_requests_are_not_logged_but_refusals_are(lines: list[dict[str, Any]]) -> None:
    assert "quiet" not in {line.get("request_id") for line in lines}
    assert one(lines, event="request refused")["status"] == 400


def test_cloudwatch_metrics_are_separate_lines(lines: list[dict[str, Any]]) -> None:
    documents = [line for line in lines if "_aws" in line]
    assert not [line for line in documents if {"time", "level", "event"} & line.keys()]
    process = next(line for line in documents if "Requests" in line)
    assert (process["Environment"], process["Stack"]) == ("staging", "shop")
    assert (process["Requests"], process["ServerErrors"]) == (7, 2)  # /broken, and /health/db without a database
    assert {line["Component"]: line["Passing"] for line in documents if "Component" in line} == {"db": 0, "cache": 0}


def test_log_is_text_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    service = Service(NOWHERE, command=SLOW, DATABASE_WAIT="3600", stdout=follower)
    os.close(follower)
    try:
        service.await_status("/health")
        assert service.status("/broken") == 500
        said = b""

        def heard() -> bool:
            nonlocal said
            said += os.read(leader, 65536)  # a read may end in the middle of a letter
            return b"RuntimeError" in said and b"request failed" in said

        eventually(heard, "the exception is logged")
    finally:
        service.kill()
        os.close(leader)
    assert "{" not in next(line for line in said.decode().splitlines() if "listening" in line)


def test_unread_log_delays_no_answer() -> None:
    service = Service(NOWHERE, command=SLOW, DATABASE_WAIT="3600")
    try:
        service.await_status("/health")
        question = b"GET /version HTTP/1.1\r\nHost: x\r\nUser-Agent: " + b"x" * 200 + b"\r\n"
        said = service.raw((question + b"\r\n") * 599 + question + b"Connection: close\r\n\r\n", 20)
        assert answers(said) == [200] * 600
        (size,) = struct.unpack("i", fcntl.ioctl(service.process.stdout, termios.FIONREAD, bytes(4)))
        assert size > fcntl.fcntl(service.process.stdout, fcntl.F_GETPIPE_SZ) / 2, "the pipe never was full"
        assert service.status("/health") == service.status("/version") == 200
    finally:
        service.kill()


def test_user_agent_cannot_control_a_terminal() -> None:
    def application(_environ: object, start: Callable[..., object]) -> list[bytes]:
        start("200 OK", [])
        return []

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/version", "HTTP_USER_AGENT": "curl\x9b2J\x1b[2J\u0085"}
    with structlog.testing.capture_logs() as lines:
        Middleware(application)(environ, lambda *_: None)
    assert lines[0]["agent"] == "curl?2J?[2J?"
