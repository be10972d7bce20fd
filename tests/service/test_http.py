"""HTTP for every client: limits, problem documents, ids, headers. No test needs a dependency."""

from __future__ import annotations

import json
import re

import pytest

from service import values
from service.http.access import Hosts
from tests.service.process import GET, NOTES, TOKEN, Answer, Service, answers

WRITE = f"PUT /api/incidents/1/note HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {NOTES}\r\n".encode()
PROBLEM = "application/problem+json"


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == PROBLEM
    body = answer.json
    assert body["status"] == answer.status
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return answer.status, body["code"]


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
        ("/api/history?component=x", "GET", (404, "not_found")),
        ("/api/incidents?limit=0", "GET", (400, "invalid_argument")),
        ("/api/incidents/1/note", "PUT", (401, "unauthorized")),
    ],
)
def test_error_is_a_problem_document_with_a_code(
    lonely: Service, path: str, method: str, code: tuple[int, str]
) -> None:
    answer = lonely.request(path, method)
    assert problem(answer) == code
    assert answer.json["instance"] == path.partition("?")[0]
    assert "secret" not in answer.body.decode()


def test_disallowed_method_lists_allowed_ones(lonely: Service) -> None:
    allowed = lonely.request("/health", "POST").headers["Allow"]
    assert {"GET", "OPTIONS"} <= set(re.split(r", ?", allowed))


def test_input_after_refused_request_is_ignored(lonely: Service) -> None:
    for _ in range(50):
        said = lonely.raw(b"nonsense\r\n\r\n" + (GET + b"\r\n") * 3 + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answers(said) == [400]


@pytest.mark.parametrize("path", ["/health", "/version", "/nothing", "/broken"])
def test_head_matches_get_without_body(lonely: Service, path: str) -> None:
    got, head = lonely.request(path), lonely.request(path, "HEAD")
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize(("path", "allowed"), [("/health", "GET"), ("/api/incidents/1/note", "PUT")])
def test_options_lists_allowed_methods(lonely: Service, path: str, allowed: str) -> None:
    answer = lonely.request(path, "OPTIONS")
    assert answer.status == 204
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/1.1\r\nHost: rebound.example.net:4000\r\n\r\n", 421, "misdirected_request"),
        (GET + b"Host: y\r\n\r\n", 400, "bad_request"),
        (GET + b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400, "bad_request"),
        (GET + b"X-A: b\r\n folded\r\n\r\n", 400, "bad_request"),
        (GET + b"X-A : b\r\n\r\n", 400, "bad_request"),
        (GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "bad_request"),
        (GET + b"Content-Length: +1\r\n\r\na", 400, "bad_request"),
        (GET + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "bad_request"),
        (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"GET /health HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (GET + b"Transfer-Encoding: gzip\r\n\r\n", 501, "not_implemented"),
        (WRITE + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400, "bad_request"),
        (WRITE + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", 400, "bad_request"),
        (b"GET http://evil/health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET //health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /he%61lth HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /he%ffalth HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /x/../health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (b"GET /health;a=b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path_not_canonical"),
        (GET + b"X-Long: " + b"a" * 17_000 + b"\r\n\r\n", 431, "request_header_fields_too_large"),
        (GET + b"Content-Length: 900000000\r\nExpect: 100-continue\r\n\r\n", 413, "request_entity_too_large"),
        (WRITE + b"Transfer-Encoding: chunked\r\n\r\n11000\r\n" + b"a" * 0x11000, 413, "request_entity_too_large"),
    ],
    ids=lambda value: repr(value[:70]) if isinstance(value, bytes) else None,
)
def test_ambiguous_request_is_refused_once(lonely: Service, request_: bytes, status: int, code: str) -> None:
    smuggled = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    said = lonely.raw(request_ + smuggled)
    assert answers(said) == [status]
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert b"Connection: close" in head
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    assert f"X-Request-Id: {document['request_id']}".encode() in head


@pytest.mark.parametrize(
    ("allowed", "host", "is_let_in"),
    [
        ("", "127.0.0.1:4000", True),
        ("", "[::1]:4000", True),
        ("", "10.0.1.7", True),
        ("", "LOCALHOST.:4000", True),
        ("", "shop.localhost:4000", True),
        ("", "rebound.example.net", False),
        ("", "127.0.0.1.example.net", False),
        ("", "0x7f.0.0.1", False),
        ("", "localhost.example.net", False),
        ("", "notlocalhost", False),
        ("", "api", False),
        ("", "[api]", False),
        ("", "user@localhost", False),
        ("", "localhost:80:80", False),
        ("", "localhost, rebound.example.net", False),
        ("api,web,", "api:4000", True),
        ("Status.Example.com", "status.example.com:443", True),
        ("status.example.com", "x.status.example.com", False),
        (".example.com", "example.com", True),
        (".example.com", "a.b.example.com", True),
        (".example.com", "notexample.com", False),
        ("*", "rebound.example.net", True),
        ("*", "a/b", False),
    ],
)
def test_host_is_allowed_or_refused(allowed: str, host: str, is_let_in: bool) -> None:
    assert Hosts(values.hosts(allowed)).allow(host) is is_let_in


@pytest.mark.parametrize("path", ["/health", "/health/all", "/api/status", "/metrics", "/openapi.json", "/nothing"])
def test_rebound_host_name_reads_nothing_from_api(lonely: Service, path: str) -> None:
    assert problem(lonely.request(path, Host=f"rebound.example.net:{lonely.port}")) == (421, "misdirected_request")
    assert lonely.request(path, Host="LocalHost").status != 421


def test_fast_path_and_application_answer_alike(lonely: Service) -> None:
    def comparable(answer: Answer) -> tuple[int, dict[str, str]]:
        own = {"date", "x-request-id", "content-length", "vary"}
        headers = {name.lower(): each for name, each in answer.headers.items()}
        return answer.status, {name: each for name, each in headers.items() if name not in own}

    for path in ("/health", "/health/ready", "/health/db", "/health/all"):
        usual, other = lonely.request(path), lonely.request(path, Authorization="Bearer x")
        assert comparable(usual) == comparable(other)
        assert set(usual.json) == set(other.json)


def test_request_id_is_returned_if_well_formed_else_replaced(lonely: Service) -> None:
    for path in ("/health", "/version", "/nothing"):
        assert lonely.request(path, X_Request_ID="a-B.9_").headers["X-Request-ID"] == "a-B.9_"
        for bad in ("a b", "a, b", "x" * 65, 'a"b', "ä"):
            found = lonely.request(path, X_Request_ID=bad.encode("latin-1").decode("latin-1")).headers["X-Request-ID"]
            assert re.fullmatch("[0-9a-f]{32}", found)


def test_cross_origin_reads_need_the_setting(lonely: Service) -> None:
    friend = lonely.request("/version", Origin="https://status.example.com").headers
    assert friend["Access-Control-Allow-Origin"] == "https://status.example.com"
    assert "Origin" in friend["Vary"]
    assert "Access-Control-Allow-Credentials" not in friend
    evil = ("https://evil.example.com", "null", "https://status.example.com.evil.net", "http://status.example.com", "*")
    for origin in evil:
        given = lonely.request("/version", Origin=origin).headers
        assert not [name for name in given if name.startswith("Access-Control-")]
        assert given["Cross-Origin-Resource-Policy"] == "same-origin"
    ask = {"Origin": "https://status.example.com", "Access_Control_Request_Method": "GET"}
    preflight = lonely.request("/api/status", "OPTIONS", **ask)
    assert preflight.status == 204
    assert "GET" in preflight.headers["Access-Control-Allow-Methods"]


def test_http_details_need_the_token(lonely: Service) -> None:
    for given in ("Bearer ", "Bearer", "", "Bearer None", f"Bearer {TOKEN}x", TOKEN, f"Bearer {NOTES}", "Bearer \xff"):
        answer = lonely.request("/health/db", Authorization=given)
        assert "address" not in answer.json["checks"]["db"][0]
        assert "127.0.0.1" not in answer.body.decode()
    (check,) = lonely.request("/health/db", Authorization=f"Bearer {TOKEN}").json["checks"]["db"]
    assert check["address"] == "127.0.0.1:1/x"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"note": 1}', b'{"note": "x", "more": 1}', b'{"note":' + b"[" * 60_000, b"\xff\xfe"]
)
def test_unreadable_body_is_reported(lonely: Service, body: bytes) -> None:
    path = "/api/incidents/1/note"
    assert problem(lonely.request(path, "PUT", body, Authorization=f"Bearer {NOTES}")) == (400, "invalid_argument")
