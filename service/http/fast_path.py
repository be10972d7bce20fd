"""The fast path: the event loop answers a plain health request itself, with a single write.

Anything unusual about a request (another method or version, a token, a foreign origin) takes the normal path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from service.http import correlation

Answers = Callable[[str], tuple[int, bytes] | None]
UNUSUAL_HEADERS = ("AUTHORIZATION", "ORIGIN", "CONNECTION")


class FastPath:
    """Builds complete responses.

    Args:
        answers: returns the status and the body for a path, or None.
        headers: returns the headers of every response with that status.
        observe: receives method, route, status and seconds of each request.
    """

    def __init__(
        self,
        answers: Answers,
        headers: Callable[[int], Mapping[str, str]],
        observe: Callable[[str, str, int, float], None] = lambda *_: None,
    ) -> None:
        self._answers = answers
        self._headers = headers
        self._observe = observe
        self._heads: dict[int, str] = {}
        self._date_second, self._date = 0, ""

    def respond(self, request: Any) -> bytes | None:
        """Return the response to a parsed request of waitress; None sends the request down the normal path."""
        headers = request.headers
        if request.command != "GET" or request.version != "1.1" or request.query:
            return None
        if any(name in headers for name in UNUSUAL_HEADERS):
            return None
        began = time.perf_counter()
        answer = self._answers(request.path)
        if answer is None:
            return None
        status, body = answer
        request_id = correlation.request_id({"HTTP_X_REQUEST_ID": headers.get("X_REQUEST_ID", "")})
        head = self._heads.get(status) or self._head(status)
        self._observe("GET", request.path, status, time.perf_counter() - began)
        lines = f"{head}Content-Length: {len(body)}\r\nDate: {self._now()}\r\nX-Request-ID: {request_id}\r\n\r\n"
        return lines.encode("latin-1") + body

    def _head(self, status: int) -> str:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._headers(status).items())
        self._heads[status] = head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}"
        return head

    def _now(self) -> str:
        second = int(time.time())
        if second != self._date_second:
            self._date_second, self._date = second, formatdate(second, usegmt=True)
        return self._date
