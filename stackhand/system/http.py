"""GET a URL of this machine or of a load balancer, in bounded time, without following redirects."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

BODY_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Response:
    """An HTTP response; of its body, as much as was asked for."""

    status: int
    reason: str
    headers: Message
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the code is one of success."""
        return HTTPStatus(200) <= self.status < HTTPStatus(300)

    def json(self) -> Any:
        """Return the body's document; raises `ValueError` where it is none."""
        return json.loads(self.body)


def get(url: str, *, timeout: float, headers: Mapping[str, str] | None = None, limit: int = BODY_LIMIT) -> Response:
    """GET a URL.

    Args:
        url: `http:` or `https:`.
        timeout: seconds for the connection, and for each read.
        headers: more of them; the connection is closed after the response.
        limit: bytes of the body to read.

    Raises:
        OSError: there is no connection, or no answer in time (`TimeoutError`).
        http.client.HTTPException: the answer is no HTTP, or ends early.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        body = response.read(limit)
        if len(body) < limit and response.length:  # with a limit, read does not tell of a body that ends early
            raise http.client.IncompleteRead(body, response.length)
        return Response(response.status, response.reason, response.headers, body)
    finally:
        connection.close()
