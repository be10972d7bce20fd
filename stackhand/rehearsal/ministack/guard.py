"""Who may ask the emulator, whoever has the key of this rehearsal, and which of their reads are refused at random.

The emulator holds the container engine's socket, so what it does is done as root; and any web page, and every account
of this machine, reaches a port of 127.0.0.1. So it is asked with an access key that was made for this rehearsal, under
an address of its own (a page can give its own name this address: DNS rebinding), and by no page. Free are what a load
balancer sends on to the tasks, a task's metadata, whose path is a secret, and the look whether the emulator answers.
"""

from __future__ import annotations

import base64
import hmac
import json
import random
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

JSON = b"application/x-amz-json-1.1"
CODE = "InvalidClientTokenId"
TASK = "TASK"
"""The access key of every task: it is refused, for the roles that terraform/ gives to tasks allow no API either."""
BALANCED = "/_alb/"
METADATA = "/v4/"
HEALTH = "/_ministack/health"
REGISTRY = re.compile(r"/v2(/.*)?")
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")
SHARE = 0.02
"""Of the requests that only read: boto3 and Terraform's provider ask again, and whoever asks otherwise must, too."""
SPARED = 20
"""How many reads after a refused one are answered: who asks a second time is never refused twice."""
READING = ("Describe", "List", "Get")


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
        headers, path = _headers(scope), scope["path"]
        host = headers.get("host", "")
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
    error = f"<Error><Code>{CODE}</Code><Message>{escape(reason)}</Message></Error>"
    kind, body = b"text/xml", f"<ErrorResponse>{error}</ErrorResponse>"
    if "json" in _headers(scope).get("content-type", ""):
        kind, body = JSON, json.dumps({"__type": CODE, "message": reason})
    if REGISTRY.fullmatch(scope["path"]):
        await _answer(send, 401, kind, body, (b"www-authenticate", b'Basic realm="rehearsal"'))
    else:
        await _answer(send, 403, kind, body)


async def _answer(send: Send, status: int, kind: bytes, body: str, *more: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *more]})
    await send({"type": "http.response.body", "body": body.encode()})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", [])}


def _without_sharing(send: Send) -> Send:
    """Send answers without the headers by which the emulator lets every web page read them."""

    async def without(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message["headers"] if not bytes(each[0]).lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return without


class Throttle:
    """An ASGI application that hands on what it gets but for a few reads: AWS refuses them when it has too many.

    Args:
        application: the emulator.
        seed: of the choice, which is always the same with one seed.
        share: how many of them it refuses, 0 to 1.
    """

    def __init__(self, application: Application, seed: int, share: float = SHARE) -> None:
        self._application, self._share = application, share
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.refused, self._spared = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it for now."""
        # of the JSON protocol, what changes nothing
        action = _headers(scope).get("x-amz-target", "").rpartition(".")[2]
        if action.startswith(READING) and self._chosen():
            body = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
            await _answer(send, 400, JSON, body)
        else:
            await self._application(scope, receive, send)

    def _chosen(self) -> bool:
        """Whether to refuse the next read."""
        if self._spared > 0:
            self._spared -= 1
        elif self._random.random() < self._share:
            self.refused, self._spared = self.refused + 1, SPARED
            return True
        return False
