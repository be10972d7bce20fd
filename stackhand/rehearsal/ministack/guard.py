"""Who may ask the emulator: whoever has the key of this rehearsal.

The emulator holds the container engine's socket, so what it does is done as root; and any web page, and every account
of this machine, reaches a port of 127.0.0.1. So it is asked with an access key that was made for this rehearsal, under
an address of its own (a page can give its own name this address: DNS rebinding), and by no page. Free are what a load
balancer sends on to the tasks, a task's metadata, whose path is a secret, and the look whether the emulator answers.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

CODE = "InvalidClientTokenId"
TASK = "TASK"
"""The access key of every task: it is refused, for the roles that terraform/ gives to tasks allow no API either."""
BALANCED = "/_alb/"
METADATA = "/v4/"
HEALTH = "/_ministack/health"
REGISTRY = re.compile(r"/v2(/.*)?")
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")


class Guard:
    """An ASGI application that hands on what has the key.

    Args:
        application: the emulator.
        public: its load balancers and its tasks' metadata, and nothing besides: what needs no key.
        key: the access key's id; also the password of the registry.
        hosts: the addresses with port that are the emulator's own.
    """

    def __init__(self, application: Application, public: Application, key: str, hosts: Collection[str]) -> None:
        self._application, self._public = application, public
        self._key, self._hosts = key.encode(), frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with the reason."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif reason := self.refusal(scope):
            await _refuse(reason, scope, send)
        elif scope["path"].startswith((BALANCED, METADATA)):
            await self._public(scope, receive, send)
        else:
            await self._application(scope, receive, _without_sharing(send))

    def refusal(self, scope: Scope) -> str:
        """Return why a request is not answered; empty when it is."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, path = headers.get("host", ""), scope["path"]
        if host not in self._hosts:
            return f"{host!r} is not an address of this emulator"
        balanced = path.startswith(BALANCED)
        if "origin" in headers and not (balanced and _own_page(headers, host)):
            return "web pages may not use this emulator"
        alive = path == HEALTH and scope["method"] == "GET"
        if balanced or path.startswith(METADATA) or alive:
            return ""
        shown = self._shown(scope, headers)
        if hmac.compare_digest(shown.encode("utf-8", "replace"), self._key):
            return ""
        return (
            "the role of a task allows no API of AWS"
            if shown == TASK
            else "the access key does not belong to this rehearsal"
        )

    def _shown(self, scope: Scope, headers: dict[str, str]) -> str:
        """Return the key that a request shows: in its signature, in a signed address, as the registry's password."""
        signed = SIGNED.match(headers.get("authorization", ""))
        if signed:
            return str(signed[1])
        if REGISTRY.fullmatch(scope["path"]):
            return _password(headers.get("authorization", ""))
        query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return query.get("X-Amz-Credential", [""])[0].partition("/")[0]


def _own_page(headers: dict[str, str], host: str) -> bool:
    """Whether a page asks that came from below the load balancer; a form's origin may be kept back by its policy."""
    origin = headers["origin"]
    return origin == f"http://{host}" or (origin == "null" and headers.get("sec-fetch-site") == "same-origin")


def _password(authorization: str) -> str:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode("latin-1").partition(":")[2]
    except ValueError:
        return ""


async def _refuse(reason: str, scope: Scope, send: Send) -> None:
    """Answer with an error as AWS gives one, which its clients can read; docker looks at the status alone."""
    registry = REGISTRY.fullmatch(scope["path"])
    kinds = [value for name, value in scope["headers"] if name.lower() == b"content-type"]
    kind, body = _json(reason) if kinds and b"json" in kinds[0] else _xml(reason)
    headers = [(b"content-type", kind), *([(b"www-authenticate", b'Basic realm="rehearsal"')] if registry else [])]
    await send({"type": "http.response.start", "status": 401 if registry else 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _json(reason: str) -> tuple[bytes, bytes]:
    return b"application/x-amz-json-1.1", json.dumps({"__type": CODE, "message": reason}).encode()


def _xml(reason: str) -> tuple[bytes, bytes]:
    error = f"<Error><Code>{CODE}</Code><Message>{escape(reason)}</Message></Error>"
    return b"text/xml", f"<ErrorResponse>{error}</ErrorResponse>".encode()


def _without_sharing(send: Send) -> Send:
    """Send answers without the headers by which the emulator lets every web page read them."""

    async def without(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message["headers"] if not bytes(each[0]).lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return without
