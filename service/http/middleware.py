"""What every answer of the application has: an id, headers, a line in the log, and errors that are documents."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import structlog

from service.http import correlation, problem

log = structlog.get_logger()

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

QUIET = ("/health", "/metrics")
"""Paths that machines ask for all day: their lines are for who debugs, unless something went wrong."""
AGENT_LENGTH = 200
UNPRINTABLE = re.compile("[^ -~]")
"""Some of it a terminal takes for orders: the log is coloured text there, and no JSON."""
OUR_FAULT = 500
ROUTE = "stackhand.route"
"""Where in the environ the application leaves the template of the route, for metrics."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
CORS_METHODS = "GET, HEAD, OPTIONS"
CORS_HEADERS = "If-None-Match, X-Request-ID"
CORS_EXPOSED = "ETag, Retry-After, X-Request-ID"


def common_headers(stack: str) -> dict[str, str]:
    """Return the headers of every answer that does not say otherwise itself.

    Args:
        stack: the stack's name, so that `./inv up` knows whose answer it is; left out when empty.
    """
    return HEADERS | ({"X-Stack": stack} if stack else {})


class Middleware:
    """Wraps the application.

    Args:
        application: WSGI; what it raises becomes a problem document.
        stack: see `common_headers`.
        origins: of pages elsewhere that may read the answers.
        observe: told of each request: method, route, status, seconds.
    """

    def __init__(
        self,
        application: Application,
        *,
        stack: str = "",
        origins: Iterable[str] = (),
        observe: Callable[[str, str, int, float], None] = lambda *_: None,
    ) -> None:
        self._application = application
        self._headers = common_headers(stack)
        self._origins = frozenset(origins)
        self._observe = observe

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        number = correlation.request_id(environ)
        environ["stackhand.request_id"] = number
        structlog.contextvars.bind_contextvars(request_id=number, **correlation.trace(environ))
        try:
            return self._answer(environ, start_response, number, began)
        finally:
            structlog.contextvars.clear_contextvars()

    def _answer(
        self, environ: Environ, start_response: Callable[..., Any], number: str, began: float
    ) -> Iterable[bytes]:
        kept: list[Any] = ["500 Internal Server Error", []]

        def start(status: str, headers: Headers, _exc_info: object = None) -> None:
            kept[:] = [status, headers]

        body: list[bytes]
        preflight = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        try:
            if preflight:
                start("204 No Content", [])
                body = []
            else:
                # A body that fails half way must not be a success that breaks off.
                made = self._application(environ, start)
                try:
                    body = list(made)
                finally:
                    close = getattr(made, "close", None)
                    if close:
                        close()
        except Exception:
            log.exception("request failed", method=environ["REQUEST_METHOD"], path=environ["PATH_INFO"])
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            body = [problem.document(status, instance=environ["PATH_INFO"], request_id=number)]
            length = str(len(body[0]))  # or the answer to HEAD would have the end of a chunked body
            start(
                f"{status.value} {status.phrase}", [("Content-Type", problem.CONTENT_TYPE), ("Content-Length", length)]
            )
        status_text, headers = kept
        if environ["REQUEST_METHOD"] == "HEAD":
            body = []
        start_response(status_text, self._complete(environ, headers, number, preflight=preflight))
        self._tell(environ, int(status_text[:3]), sum(map(len, body)), time.perf_counter() - began)
        return body

    def _complete(self, environ: Environ, headers: Headers, number: str, *, preflight: bool) -> Headers:
        given = {name.lower() for name, _ in headers}
        found = [*headers, ("X-Request-ID", number)]
        found += [(name, value) for name, value in self._headers.items() if name.lower() not in given]
        if not self._origins:
            return found
        found.append(("Vary", "Origin"))
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in self._origins:
            return found
        found = [pair for pair in found if pair[0] != "Cross-Origin-Resource-Policy"]
        found += [("Access-Control-Allow-Origin", origin), ("Cross-Origin-Resource-Policy", "cross-origin")]
        if preflight:
            return [
                *found,
                ("Access-Control-Allow-Methods", CORS_METHODS),
                ("Access-Control-Allow-Headers", CORS_HEADERS),
                ("Access-Control-Max-Age", "600"),
            ]
        return [*found, ("Access-Control-Expose-Headers", CORS_EXPOSED)]

    def _tell(self, environ: Environ, status: int, size: int, seconds: float) -> None:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        self._observe(method, environ.get(ROUTE, ""), status, seconds)
        # A component that is down is told once, when it changes: not by each who asks.
        say = log.debug if path.startswith(QUIET) else log.error if status == OUR_FAULT else log.info
        say(
            "request",
            method=method,
            path=path,
            status=status,
            ms=round(seconds * 1000, 2),
            bytes=size,
            client=environ.get("REMOTE_ADDR", ""),
            agent=UNPRINTABLE.sub("?", environ.get("HTTP_USER_AGENT", "")[:AGENT_LENGTH]),
        )
