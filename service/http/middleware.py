"""WSGI middleware: it gives every answer an id, headers, a log line, and problem documents for errors."""

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
"""Paths that machines request all day: they are logged at debug level."""
AGENT_LENGTH = 200
UNPRINTABLE = re.compile("[^ -~]")
"""Control characters, which a terminal would interpret: there the log is coloured text, not JSON."""
INTERNAL_ERROR = 500
ROUTE = "stackhand.route"
"""Key of the environ for the template of the route; metrics read it."""

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
    """Return the default headers of every answer.

    Args:
        stack: name of the stack, by which `./inv up` recognises its own service; empty: no header.
    """
    return HEADERS | ({"X-Stack": stack} if stack else {})


class Middleware:
    """Wraps the application.

    Args:
        application: WSGI; an exception becomes a problem document.
        stack: see `common_headers`.
        origins: other origins whose pages may read the answers.
        observe: receives method, route, status and seconds of each request.
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
        request_id = correlation.request_id(environ)
        environ["stackhand.request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id, **correlation.trace(environ))
        try:
            return self._answer(environ, start_response, request_id, began)
        finally:
            structlog.contextvars.clear_contextvars()

    def _answer(
        self, environ: Environ, start_response: Callable[..., Any], request_id: str, began: float
    ) -> Iterable[bytes]:
        started: list[Any] = ["500 Internal Server Error", []]

        def start(status: str, headers: Headers, _exc_info: object = None) -> None:
            started[:] = [status, headers]

        body: list[bytes]
        preflight = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        try:
            if preflight:
                start("204 No Content", [])
                body = []
            else:
                # A body that fails halfway must not become a truncated success.
                iterable = self._application(environ, start)
                try:
                    body = list(iterable)
                finally:
                    close = getattr(iterable, "close", None)
                    if close:
                        close()
        except Exception:
            log.exception("request failed", method=environ["REQUEST_METHOD"], path=environ["PATH_INFO"])
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            body = [problem.document(status, instance=environ["PATH_INFO"], request_id=request_id)]
            length = str(len(body[0]))  # without it the answer to HEAD would contain the end of a chunked body
            start(
                f"{status.value} {status.phrase}", [("Content-Type", problem.CONTENT_TYPE), ("Content-Length", length)]
            )
        status_text, headers = started
        if environ["REQUEST_METHOD"] == "HEAD":
            body = []
        start_response(status_text, self._complete(environ, headers, request_id, preflight=preflight))
        self._log(environ, int(status_text[:3]), sum(map(len, body)), time.perf_counter() - began)
        return body

    def _complete(self, environ: Environ, headers: Headers, request_id: str, *, preflight: bool) -> Headers:
        present = {name.lower() for name, _ in headers}
        complete = [*headers, ("X-Request-ID", request_id)]
        complete += [(name, value) for name, value in self._headers.items() if name.lower() not in present]
        if not self._origins:
            return complete
        complete.append(("Vary", "Origin"))
        origin = environ.get("HTTP_ORIGIN", "")
        if origin not in self._origins:
            return complete
        complete = [pair for pair in complete if pair[0] != "Cross-Origin-Resource-Policy"]
        complete += [("Access-Control-Allow-Origin", origin), ("Cross-Origin-Resource-Policy", "cross-origin")]
        if preflight:
            return [
                *complete,
                ("Access-Control-Allow-Methods", CORS_METHODS),
                ("Access-Control-Allow-Headers", CORS_HEADERS),
                ("Access-Control-Max-Age", "600"),
            ]
        return [*complete, ("Access-Control-Expose-Headers", CORS_EXPOSED)]

    def _log(self, environ: Environ, status: int, size: int, seconds: float) -> None:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        self._observe(method, environ.get(ROUTE, ""), status, seconds)
        # A failing component is logged once, when it changes, not for each request.
        write = log.debug if path.startswith(QUIET) else log.error if status == INTERNAL_ERROR else log.info
        write(
            "request",
            method=method,
            path=path,
            status=status,
            ms=round(seconds * 1000, 2),
            bytes=size,
            client=environ.get("REMOTE_ADDR", ""),
            agent=UNPRINTABLE.sub("?", environ.get("HTTP_USER_AGENT", "")[:AGENT_LENGTH]),
        )
