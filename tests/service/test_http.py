"""What clients of any kind get: limits, errors as documents, ids, headers. No dependency is needed for any of it."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import correlation, limits
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.service.process import SLOW, Answer, Service

NOWHERE = Settings("127.0.0.1", 0, Address("127.0.0.1", 1, "x", "", "x"), Address("127.0.0.1", 1, "", "", "0"))
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def lonely() -> Iterator[Service]:
    """The service without any dependency, with a few more paths."""
    found = Service(NOWHERE, words=SLOW, DATABASE_WAIT="3600", THREADS="4", CORS_ORIGINS="https://status.example.com")
    try:
        found.await_status("/health")
        yield found
    finally:
        found.kill()


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == PROBLEM
    body = answer.json
    assert body["status"] == answer.status
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return answer.status, body["code"]


def answers(raw: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", raw)]


GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [
        ("/nothing", "GET", (404, "not_found")),
        ("/health/nothing", "GET", (404, "not_found")),
        ("/health", "POST", (405, "method_not_allowed")),
        ("/health", "DELETE", (405, "method_not_allowed")),
        ("/version", "PATCH", (405, "method_not_allowed")),
        ("/broken", "GET", (500, "internal_server_error")),
        ("/half", "GET", (500, "internal_server_error")),
        ("/api/history", "GET", (400, "invalid_argument")),
        ("/api/history?component=x", "GET", (400, "invalid_argument")),
        ("/api/incidents?limit=0", "GET", (400, "invalid_argument")),
        ("/api/incidents/1/note", "PUT", (401, "unauthorized")),
    ],
)
def test_an_error_is_a_problem_document_with_a_code(
    lonely: Service, path: str, method: str, code: tuple[int, str]
) -> None:
    answer = lonely.request(path, method)
    assert problem(answer) == code
    assert answer.json["instance"] == path.partition("?")[0]
    assert "secret" not in answer.body.decode()


def test_a_method_that_is_not_allowed_is_told_which_are(lonely: Service) -> None:
    allowed = lonely.request("/health", "POST").headers["Allow"]
    assert {"GET", "OPTIONS"} <= set(re.split(r", ?", allowed))


def test_nothing_behind_a_refused_request_is_done(lonely: Service) -> None:
    for _ in range(50):
        said = lonely.raw(b"nonsense\r\n\r\n" + (GET + b"\r\n") * 3 + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answers(said) == [400]


@pytest.mark.parametrize("path", ["/health", "/version", "/nothing", "/broken"])
def test_head_has_the_status_and_headers_of_get_and_no_body(lonely: Service, path: str) -> None:
    got, head = lonely.request(path), lonely.request(path, "HEAD")
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize(("path", "allowed"), [("/health", "GET"), ("/api/incidents/1/note", "PUT")])
def test_options_says_what_may_be_done(lonely: Service, path: str, allowed: str) -> None:
    answer = lonely.request(path, "OPTIONS")
    assert answer.status == 204
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (GET + b"Host: y\r\n\r\n", 400, "bad_request"),
        (GET + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400, "bad_request"),
        (GET + b"X-A: b\r\n folded\r\n\r\n", 400, "bad_request"),
        (GET + b"X-A : b\r\n\r\n", 400, "bad_request"),
        (GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "bad_request"),
        (GET + b"Content-Length: +1\r\n\r\na", 400, "bad_request"),
        (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: gzip\r\n\r\n", 501, "not_implemented"),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", 400, "bad_request"),
        (b"GET http://evil/health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET //health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /he%61lth HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /he%ffalth HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /x/../health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /health;a=b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (GET + b"X-Long: " + b"a" * 17_000 + b"\r\n\r\n", 431, "request_header_fields_too_large"),
        (GET + b"Content-Length: 900000000\r\nExpect: 100-continue\r\n\r\n", 413, "request_entity_too_large"),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n11000\r\n" + b"a" * 0x11000, 413, "request_entity_too_large"),
    ],
    ids=lambda value: repr(value[:70]) if isinstance(value, bytes) else None,
)
def test_what_two_servers_could_read_in_two_ways_is_refused_once(
    lonely: Service, request_: bytes, status: int, code: str
) -> None:
    smuggled = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    said = lonely.raw(request_ + smuggled)
    assert answers(said) == [status]
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert b"Connection: close" in head
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    assert f"X-Request-Id: {document['request_id']}".encode() in head


def test_requests_in_a_pipeline_are_answered_in_their_order(lonely: Service) -> None:
    slow = b"GET /slow?seconds=0.3 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answers(lonely.raw((GET + b"\r\n") * 2 + slow + (GET + b"\r\n") * 30 + last)) == [200] * 33 + [404]


def test_a_thousand_questions_in_one_pipeline_are_all_answered(lonely: Service) -> None:
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answers(lonely.raw((GET + b"\r\n") * 1000 + last)) == [200] * 1000 + [404]


def test_health_is_answered_while_all_threads_are_busy(lonely: Service) -> None:
    callers = [threading.Thread(target=lonely.status, args=("/slow?seconds=1.5",)) for _ in range(20)]
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
        assert len(times) > 10  # twenty requests take four threads 7.5 s
        assert min(times) < 1.0
    finally:
        for caller in callers:
            caller.join()


def test_the_usual_answer_and_the_one_through_the_application_are_the_same(lonely: Service) -> None:
    def told(answer: Answer) -> tuple[int, dict[str, str]]:
        own = {"date", "x-request-id", "content-length", "vary"}
        headers = {name.lower(): each for name, each in answer.headers.items()}
        return answer.status, {name: each for name, each in headers.items() if name not in own}

    for path in ("/health", "/health/ready", "/health/db", "/health/all"):
        usual, other = lonely.request(path), lonely.request(path, Authorization="Bearer x")
        assert told(usual) == told(other)
        assert set(usual.json) == set(other.json)


def test_a_well_formed_request_id_comes_back_and_another_is_replaced(lonely: Service) -> None:
    for path in ("/health", "/version", "/nothing"):
        assert lonely.request(path, X_Request_ID="a-B.9_").headers["X-Request-ID"] == "a-B.9_"
        for bad in ("a b", "a, b", "x" * 65, 'a"b', "ä"):
            found = lonely.request(path, X_Request_ID=bad.encode("latin-1").decode("latin-1")).headers["X-Request-ID"]
            assert re.fullmatch("[0-9a-f]{32}", found)


def test_pages_of_other_origins_may_read_only_where_the_settings_say_so(lonely: Service) -> None:
    friend = lonely.request("/version", Origin="https://status.example.com").headers
    assert friend["Access-Control-Allow-Origin"] == "https://status.example.com"
    assert "Origin" in friend["Vary"]
    assert "Access-Control-Allow-Origin" not in lonely.request("/version", Origin="https://evil.example.com").headers
    ask = {"Origin": "https://status.example.com", "Access_Control_Request_Method": "GET"}
    preflight = lonely.request("/api/status", "OPTIONS", **ask)
    assert preflight.status == 204
    assert "GET" in preflight.headers["Access-Control-Allow-Methods"]


def test_a_header_that_comes_byte_by_byte_has_a_deadline(lonely: Service) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", lonely.port), 30) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        sock.settimeout(0.5)
        while time.monotonic() - began < 40:
            try:
                sock.sendall(b"a")
                if sock.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("the connection was still open after 40 s")
    assert time.monotonic() - began > 9


def test_two_hundred_connections_that_say_nothing_keep_nobody_out(lonely: Service) -> None:
    idle = [socket.create_connection(("127.0.0.1", lonely.port), 5) for _ in range(200)]
    try:
        for sock in idle:
            sock.sendall(b"GET /health HT")
        assert lonely.request("/health").status == 200
        assert lonely.request("/version").status == 200
    finally:
        for sock in idle:
            sock.close()


def test_more_requests_than_may_wait_are_refused_at_once(lonely: Service) -> None:
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
    assert load_balancer < limits.IDLE
    with socket.create_connection(("127.0.0.1", lonely.port), 20) as sock:
        for _ in range(3):
            sock.sendall(GET + b"\r\n")
            assert b"200 OK" in sock.recv(4096)
            time.sleep(1.5)  # the server looks for idle connections each second


def test_a_client_that_goes_away_in_the_middle_harms_nobody(lonely: Service) -> None:
    for path in (b"/slow?seconds=0.1", b"/health", b"/broken"):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", lonely.port), 5) as sock:
                sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert lonely.request("/slow?seconds=0").status == 200
    assert lonely.request("/health").status == 200


def test_details_are_for_who_has_the_token_only(lonely: Service) -> None:
    for given_ in ("Bearer ", "Bearer", "", "Bearer None"):
        answer = lonely.request("/health/db", Authorization=given_)
        assert "address" not in answer.json["checks"]["db"][0]
        assert "127.0.0.1" not in answer.body.decode()


PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.mark.parametrize(
    ("traceparent", "found"),
    [
        (PARENT, "a" * 32),
        ("01" + PARENT[2:] + "-more", "a" * 32),
        (PARENT + "-more", None),
        ("ff" + PARENT[2:], None),
        (PARENT.replace("a", "0"), None),
        (PARENT.replace("b", "0"), None),
        (PARENT.upper(), None),
        ("", None),
    ],
)
def test_a_traceparent_that_is_not_well_formed_is_left_out(traceparent: str, found: str | None) -> None:
    assert correlation.trace({"HTTP_TRACEPARENT": traceparent}).get("trace_id") == found


@given(st.text(max_size=80))
def test_a_request_id_is_always_fit_for_a_header_and_a_line_of_the_log(text: str) -> None:
    found = correlation.request_id({"HTTP_X_REQUEST_ID": text})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found)
    assert set(correlation.trace({"HTTP_TRACEPARENT": text, "HTTP_X_AMZN_TRACE_ID": text})) <= {
        "trace_id",
        "amzn_trace_id",
    }


def test_amazons_trace_id_is_kept_for_the_log() -> None:
    given_ = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
    assert correlation.trace({"HTTP_X_AMZN_TRACE_ID": given_}) == {"amzn_trace_id": given_}
    assert correlation.trace({"HTTP_X_AMZN_TRACE_ID": "a\nb"}) == {}
