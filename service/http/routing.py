"""Bottle routes: arguments in; JSON, entity tags and problem documents out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import bottle

from service.answer import Answer
from service.cache import AnswerDelayed
from service.database import DatabaseUnavailable
from service.http import problem
from service.http.middleware import ROUTE

MAX_DIGITS = 9


def route(app: bottle.Bottle, rule: str, method: str = "GET") -> Callable[[Callable[..., bytes]], None]:
    """Add a route that reports its template to the metrics and turns an unavailable database into a 503."""

    def add(handler: Callable[..., bytes]) -> None:
        def answer(**arguments: str) -> bytes:
            bottle.request.environ[ROUTE] = rule
            try:
                return handler(**arguments)
            except (DatabaseUnavailable, AnswerDelayed) as error:
                raise error_response(HTTPStatus.SERVICE_UNAVAILABLE, error.code) from error

        app.route(rule, method=method, callback=answer)
        app.route(rule, method="OPTIONS", callback=lambda **_: _options(method))

    return add


def header(name: str) -> str:
    """Return a header as WSGI has it: Bottle fails on one that is not UTF-8."""
    return str(bottle.request.environ.get(f"HTTP_{name.upper().replace('-', '_')}", ""))


def json_body(fields: dict[str, Any]) -> bytes:
    """Return a JSON body and set its type."""
    bottle.response.content_type = "application/json"
    return json.dumps(fields).encode()


def tagged_body(answer: Answer) -> bytes:
    """Return a body with its ETag, or raise 304 when the client already has it."""
    known = [tag.strip().removeprefix("W/") for tag in header("If-None-Match").split(",")]
    headers = {"ETag": answer.etag, "Cache-Control": "no-cache"}
    if answer.etag.removeprefix("W/") in known or "*" in known:
        raise bottle.HTTPResponse(status=304, headers=headers)
    bottle.response.content_type = "application/json"
    for name, value in headers.items():
        bottle.response.set_header(name, value)
    return answer.body


@contextmanager
def rejecting_arguments() -> Iterator[None]:
    """Turn a ValueError into a 400 with its message."""
    try:
        yield
    except ValueError as error:
        raise invalid_argument(str(error)) from None


def query_argument(name: str, default: str | None = None) -> str:
    """Return the one value of a query argument."""
    values = bottle.request.query.getall(name)
    if len(values) > 1 or (not values and default is None):
        raise invalid_argument(f"{name} must be given once.")
    return str(values[0] if values else default)


def query_number(name: str, default: int, maximum: int) -> int:
    """Return a query argument as a number from 1 to the maximum."""
    text = query_argument(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS) or not 1 <= int(text) <= maximum:
        raise invalid_argument(f"{name} must be a whole number from 1 to {maximum}.")
    return int(text)


def invalid_argument(detail: str) -> bottle.HTTPResponse:
    """Return a 400 with a sentence that explains it."""
    return error_response(HTTPStatus.BAD_REQUEST, "invalid_argument", detail)


def error_response(status: HTTPStatus, code: str = "", detail: str = "") -> bottle.HTTPResponse:
    """Return a problem document as a response."""
    headers = {"Content-Type": problem.CONTENT_TYPE}
    if status in problem.RETRY_AFTER:
        headers["Retry-After"] = problem.RETRY_AFTER[status]
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return bottle.HTTPResponse(_document(status, code, detail), status=status.value, headers=headers)


def default_error(error: bottle.HTTPError) -> bytes:
    """Return the body of an error that Bottle itself raises: 404, 405."""
    bottle.response.content_type = problem.CONTENT_TYPE
    return _document(HTTPStatus(error.status_code))


def _document(status: HTTPStatus, code: str = "", detail: str = "") -> bytes:
    environ = bottle.request.environ
    request_id = environ.get("stackhand.request_id", "")
    return problem.document(status, code=code, detail=detail, instance=environ["PATH_INFO"], request_id=request_id)


def _options(method: str) -> bottle.HTTPResponse:
    allowed = "GET, HEAD, OPTIONS" if method == "GET" else f"{method}, OPTIONS"
    return bottle.HTTPResponse(status=204, headers={"Allow": allowed})
