"""The paths of the service; service/openapi.json is their contract."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bottle

from service import __version__
from service.answer import Answer
from service.cache import AnswerDelayed
from service.database import DatabaseUnavailable
from service.health.report import Report
from service.history import reports
from service.history.api import HistoryApi
from service.http import bearer, problem
from service.http.middleware import ROUTE
from service.metrics import CONTENT_TYPE as METRICS_TYPE
from service.settings import Settings
from service.snapshot import snapshot

HEALTH_TYPE = "application/health+json"
DIGITS = 9
NOTE = "/api/incidents/<incident:re:[0-9]{1,15}>/note"
"""The one route that reads a body."""
USABLE = frozenset({"pass", "warn"})
ALIVE = json.dumps({"status": "pass", "version": __version__}, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Parts:
    """What the paths answer from.

    Args:
        settings: of this process.
        report: health, in memory.
        history: health, in the database.
        metrics: returns the Prometheus text.
    """

    settings: Settings
    report: Report
    history: HistoryApi
    metrics: Callable[[], bytes]


def at_once(path: str) -> bool:
    """Whether a path is answered from memory, so that it needs no thread and waits for none."""
    return path == "/health" or path.startswith("/health/")


def answers(report: Report) -> Callable[[str], tuple[int, bytes] | None]:
    """Return what answers the paths of `at_once`, but for those that are not there."""

    def answer(path: str) -> tuple[int, bytes] | None:
        if path == "/health":
            return 200, ALIVE
        try:
            status, body = report.answer(path.removeprefix("/health/"))
        except KeyError:
            return None
        return (200 if status in USABLE else 503), body

    return answer


def health_headers(status: int) -> dict[str, str]:
    """Return the headers that a health answer of a status has beside those of all answers."""
    found = {"Content-Type": HEALTH_TYPE}
    retry = problem.RETRY_AFTER.get(HTTPStatus(status))
    return found | ({"Retry-After": retry} if retry else {})


def create_app(parts: Parts) -> bottle.Bottle:
    """Return the application, without what `service.http` puts around it."""
    app = bottle.Bottle()
    app.config["catchall"] = False  # the middleware has the one place for errors that nobody expects
    app.default_error_handler = _problem
    _health(app, parts.report)
    _about(app, parts)
    _history(app, parts)
    return app


def takes_body(app: bottle.Bottle, notes_token: str) -> Callable[[str, str, str], bool]:
    """Return whether the answer to a request depends on its body: method, path, Authorization.

    That to any other is known at the end of its header (401, 404, 405): no body is waited for that changes nothing.
    """

    def taken(method: str, path: str, authorization: str) -> bool:
        try:
            route, _ = app.router.match({"REQUEST_METHOD": method, "PATH_INFO": path})
        except bottle.HTTPError:
            return False
        return route.rule == NOTE and method == "PUT" and bearer.has(authorization, notes_token)

    return taken


def _health(app: bottle.Bottle, report: Report) -> None:
    @_route(app, "/health")
    def health() -> bytes:
        return _health_answer(200, ALIVE)

    @_route(app, "/health/<name>")
    def one(name: str) -> bytes:
        details = report.may_see_details(_header("Authorization"))
        try:
            status, body = report.answer(name, details=details)
        except KeyError:
            raise bottle.HTTPError(404) from None
        return _health_answer(200 if status in USABLE else 503, body)


def _health_answer(status: int, body: bytes) -> bytes:
    bottle.response.status = status
    for name, value in health_headers(status).items():
        bottle.response.set_header(name, value)
    return body


def _about(app: bottle.Bottle, parts: Parts) -> None:
    settings = parts.settings

    @_route(app, "/version")
    def version() -> bytes:
        return _json(
            {
                "version": __version__,
                "commit": settings.commit,
                "built_at": settings.built_at,
                "schema_version": parts.report.phase.schema_version,
                "environment": settings.environment,
                "stack": settings.stack,
            }
        )

    @_route(app, "/metrics")
    def metrics() -> bytes:
        bottle.response.content_type = METRICS_TYPE
        return parts.metrics()

    @_route(app, "/openapi.json")
    def openapi() -> bytes:
        bottle.response.content_type = "application/json"
        return contract()


def _history(app: bottle.Bottle, parts: Parts) -> None:
    history = parts.history

    @_route(app, "/api/status")
    def status() -> bytes:
        return _tagged(history.status())

    @_route(app, "/api/status.html")
    def status_html() -> bytes:
        bottle.response.content_type = "text/html; charset=utf-8"
        return snapshot(history.present(), time.time())

    @_route(app, "/api/history")
    def past() -> bytes:
        component, window = _argument("component"), _argument("window", "24h")
        if component not in parts.report.components:
            raise _wrong(f"component must be one of {', '.join(parts.report.components)}.")
        with _arguments():
            return _tagged(history.history(component, window))

    @_route(app, "/api/incidents")
    def incidents() -> bytes:
        before = _argument("before") if "before" in bottle.request.query else None
        with _arguments():
            return _tagged(history.incidents(_number("limit", reports.DEFAULT, reports.MOST), before))

    @_route(app, NOTE, method="PUT")
    def note(incident: str) -> bytes:
        if not bearer.has(_header("Authorization"), parts.settings.notes_token):
            raise _error(HTTPStatus.UNAUTHORIZED, detail="A note needs the bearer token NOTES_TOKEN.")
        text = _note()
        with _arguments():
            found = history.note(int(incident), text)
        if not found:
            raise bottle.HTTPError(404)
        return _json({"id": int(incident), "note": text})


def _note() -> str:
    try:
        given = json.loads(bottle.request.body.read())
    except (ValueError, RecursionError):
        raise _wrong("The body must be JSON.") from None
    text = given.get("note") if isinstance(given, dict) and set(given) == {"note"} else None
    if not isinstance(text, str):
        raise _wrong('The body must be {"note": "a text"}.')
    return text


def _route(app: bottle.Bottle, rule: str, method: str = "GET") -> Callable[[Callable[..., bytes]], None]:
    """Add a route that leaves its template where metrics find it, and answers a database that is not there with 503."""

    def add(handler: Callable[..., bytes]) -> None:
        def answer(**arguments: str) -> bytes:
            bottle.request.environ[ROUTE] = rule
            try:
                return handler(**arguments)
            except (DatabaseUnavailable, AnswerDelayed) as error:
                raise _error(HTTPStatus.SERVICE_UNAVAILABLE, error.code) from error

        app.route(rule, method=method, callback=answer)
        app.route(rule, method="OPTIONS", callback=lambda **_: _options(method))

    return add


def _options(method: str) -> bottle.HTTPResponse:
    allowed = "GET, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS"
    return bottle.HTTPResponse(status=204, headers={"Allow": allowed})


def _header(name: str) -> str:
    """Return a header as WSGI has it: Bottle fails on one that is not UTF-8."""
    return str(bottle.request.environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""))


def _json(fields: dict[str, Any]) -> bytes:
    bottle.response.content_type = "application/json"
    return json.dumps(fields).encode()


def _tagged(answer: Answer) -> bytes:
    """Answer with a body and its ETag, or with 304 when the client has that already."""
    known = [each.strip().removeprefix("W/") for each in _header("If-None-Match").split(",")]
    headers = {"ETag": answer.etag, "Cache-Control": "no-cache"}
    if answer.etag.removeprefix("W/") in known or "*" in known:
        raise bottle.HTTPResponse(status=304, headers=headers)
    bottle.response.content_type = "application/json"
    for name, value in headers.items():
        bottle.response.set_header(name, value)
    return answer.body


@contextmanager
def _arguments() -> Iterator[None]:
    """Answer a value that is refused with 400 and the sentence that says why."""
    try:
        yield
    except ValueError as error:
        raise _wrong(str(error)) from None


def _argument(name: str, default: str | None = None) -> str:
    values = bottle.request.query.getall(name)
    if len(values) > 1 or (not values and default is None):
        raise _wrong(f"{name} must be given once.")
    return str(values[0] if values else default)


def _number(name: str, default: int, most: int) -> int:
    text = _argument(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS) or not 1 <= int(text) <= most:
        raise _wrong(f"{name} must be a whole number from 1 to {most}.")
    return int(text)


def _wrong(detail: str) -> bottle.HTTPResponse:
    return _error(HTTPStatus.BAD_REQUEST, "invalid_argument", detail)


def _error(status: HTTPStatus, code: str = "", detail: str = "") -> bottle.HTTPResponse:
    environ = bottle.request.environ
    headers = {"Content-Type": problem.CONTENT_TYPE}
    if status in problem.RETRY_AFTER:
        headers["Retry-After"] = problem.RETRY_AFTER[status]
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem.document(
        status,
        code=code,
        detail=detail,
        instance=environ["PATH_INFO"],
        request_id=environ.get("stackhand.request_id", ""),
    )
    return bottle.HTTPResponse(body, status=status.value, headers=headers)


def _problem(error: bottle.HTTPError) -> bytes:
    """Return the body of an error of Bottle's own: 404, 405."""
    status = HTTPStatus(error.status_code)
    environ = bottle.request.environ
    bottle.response.content_type = problem.CONTENT_TYPE
    return problem.document(status, instance=environ["PATH_INFO"], request_id=environ.get("stackhand.request_id", ""))


@cache
def contract() -> bytes:
    """Return service/openapi.json."""
    return (Path(__file__).parent / "openapi.json").read_bytes()
