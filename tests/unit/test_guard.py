"""Who may ask the AWS emulator of a rehearsal."""

from __future__ import annotations

import base64
from collections.abc import Coroutine
from typing import Any

import pytest

from stackhand.rehearsal.ministack.guard import Guard

KEY = "REHEARSAL0123456789ABCDEF"
HOST = "127.0.0.1:24600"
SIGNED = f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/eu-west-1/ecs/aws4_request, SignedHeaders=host, Signature=00"
PASSWORD = "Basic " + base64.b64encode(f"AWS:{KEY}".encode()).decode()


async def public(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer as a task does, with what headers it likes."""
    headers = [(b"access-control-allow-origin", b"https://shop.example")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"task"})


async def emulator(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer everything, and let every page read it."""
    headers = [(b"Access-Control-Allow-Origin", b"*"), (b"x-kind", b"answer")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"done"})


def finished(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing; without a loop, for a browser's tests have one in this process."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def ask(path: str, query: str = "", kind: str = "http", **headers: str) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in {"Host": HOST, **headers}.items()]
    scope = {"type": kind, "method": "GET", "path": path, "query_string": query.encode(), "headers": given}
    finished(Guard(emulator, public, KEY, [HOST])(scope, receive, send))
    return said


@pytest.mark.parametrize(
    ("path", "query", "headers"),
    [
        ("/", "", {"Authorization": SIGNED}),
        ("/bucket/key", f"X-Amz-Credential={KEY}%2F20260101%2Feu-west-1%2Fs3%2Faws4_request", {}),
        ("/v2/shop/blobs/uploads/", "", {"Authorization": PASSWORD}),
        ("/_ministack/health", "", {}),
    ],
    ids=["signed", "signed-address", "registry", "alive"],
)
def test_what_belongs_to_the_rehearsal_is_answered(path: str, query: str, headers: dict[str, str]) -> None:
    start = ask(path, query, **headers)[0]
    assert start["status"] == 200
    assert start["headers"] == [(b"x-kind", b"answer")]  # and no web page may read it


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": f"http://{HOST}"}, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, {"Authorization": SIGNED}],
)
def test_what_is_below_the_load_balancer_reaches_no_api(headers: dict[str, str]) -> None:
    start, body = ask("/_alb/shop/notes", **headers)
    assert (start["status"], body["body"]) == (201, b"task")
    assert start["headers"]  # a task's answer stays as it is


@pytest.mark.parametrize("path", ["/v4/" + "t" * 43, "/v4/short", "/v4/"])
def test_what_looks_like_a_tasks_metadata_reaches_no_api(path: str) -> None:
    assert ask(path, "Action=CreateStack")[0]["status"] == 201


@pytest.mark.parametrize(
    ("path", "headers", "status", "why"),
    [
        ("/", {}, 403, "key"),
        ("/", {"Authorization": SIGNED.replace(KEY, "AKIAIOSFODNN7EXAMPLE")}, 403, "key"),
        ("/", {"Authorization": SIGNED, "Origin": "https://evil.example"}, 403, "web page"),
        ("/", {"Authorization": SIGNED, "Origin": f"http://{HOST}"}, 403, "web page"),
        ("/", {"Authorization": SIGNED, "Host": "evil.example:24600"}, 403, "address"),
        ("/", {"Authorization": SIGNED, "Host": "127.0.0.1:1"}, 403, "address"),
        ("/_alb/shop/", {"Host": "evil.example:24600"}, 403, "address"),
        ("/_alb/shop/", {"Origin": "https://evil.example"}, 403, "web page"),
        ("/_alb/../", {"Origin": "null"}, 403, "web page"),
        ("/_ministack/health/x", {}, 403, "key"),
        ("/_ministack/reset", {}, 403, "key"),
        ("/", {"Authorization": SIGNED.replace(KEY, "\u00e9")}, 403, "key"),
        ("/v4", {}, 403, "key"),
        ("/v2/", {"Authorization": "Basic \u00e9"}, 401, "key"),
        ("/v2/credentials/0b1c", {}, 401, "key"),
        ("/v2/", {}, 401, "key"),
        ("/v2/", {"Authorization": "Basic " + base64.b64encode(b"AWS:ministack-auth-token").decode()}, 401, "key"),
        ("/v2/", {"Authorization": "Basic ~"}, 401, "key"),
    ],
)
def test_everybody_else_is_refused(path: str, headers: dict[str, str], status: int, why: str) -> None:
    start, body = ask(path, **headers)
    assert start["status"] == status
    assert why.encode() in body["body"]


def test_no_web_socket_is_opened() -> None:
    assert ask("/_alb/shop/", kind="websocket") == [{"type": "websocket.close", "code": 1008}]
