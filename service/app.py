"""The routes of the service; service/openapi.json is their contract."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

import bottle

from service import __version__
from service.health import report as health
from service.health.report import Report
from service.history import reports
from service.history.api import HistoryApi
from service.http import access
from service.http.routing import (
    default_error,
    error_response,
    header,
    invalid_argument,
    json_body,
    query_argument,
    query_number,
    rejecting_arguments,
    route,
    tagged_body,
)
from service.metrics import CONTENT_TYPE as METRICS_TYPE
from service.settings import Settings
from service.snapshot import snapshot
from service.status import CurrentStatus

NOTE = "/api/incidents/<incident:re:[0-9]{1,15}>/note"
"""The only route that reads a body."""


@dataclass(frozen=True)
class Parts:
    """What the routes answer from.

    Args:
        settings: of this process.
        report: health, from memory.
        status: the current state, from memory and from the history.
        history: health, from the database.
        metrics: returns the Prometheus text.
    """

    settings: Settings
    report: Report
    status: CurrentStatus
    history: HistoryApi
    metrics: Callable[[], bytes]


def create_app(parts: Parts) -> bottle.Bottle:
    """Return the application, without the middleware around it."""
    app = bottle.Bottle()
    app.config["catchall"] = False  # the middleware handles every unexpected error
    app.default_error_handler = default_error
    _health_routes(app, parts.report)
    _process_routes(app, parts)
    _status_routes(app, parts.status)
    _history_routes(app, parts)
    return app


def takes_body(app: bottle.Bottle, notes_token: str) -> Callable[[str, str, str], bool]:
    """Return a function of method, path and Authorization: does the answer depend on the body?

    Every other answer (401, 404, 405) is known at the end of the header, so the server does not wait for the body.
    """

    def depends_on_body(method: str, path: str, authorization: str) -> bool:
        try:
            matched, _ = app.router.match({"REQUEST_METHOD": method, "PATH_INFO": path})
        except bottle.HTTPError:
            return False
        return matched.rule == NOTE and method == "PUT" and access.has_token(authorization, notes_token)

    return depends_on_body


@cache
def contract() -> bytes:
    """Return the OpenAPI document."""
    return Path(__file__).with_name("openapi.json").read_bytes()


def _health_routes(app: bottle.Bottle, report: Report) -> None:
    @route(app, "/health")
    def alive() -> bytes:
        return _health_answer(report, "/health")

    @route(app, "/health/<name>")
    def component(name: str) -> bytes:
        return _health_answer(report, f"/health/{name}")


def _health_answer(report: Report, path: str) -> bytes:
    response = report.response(path, details=report.may_see_details(header("Authorization")))
    if response is None:
        raise bottle.HTTPError(404)
    status, body = response
    bottle.response.status = status
    for name, value in health.headers(status).items():
        bottle.response.set_header(name, value)
    return body


def _process_routes(app: bottle.Bottle, parts: Parts) -> None:
    settings = parts.settings

    @route(app, "/version")
    def version() -> bytes:
        return json_body(
            {
                "version": __version__,
                "commit": settings.commit,
                "built_at": settings.built_at,
                "schema_version": parts.report.phase.schema_version,
                "environment": settings.environment,
                "stack": settings.stack,
            }
        )

    @route(app, "/metrics")
    def metrics() -> bytes:
        bottle.response.content_type = METRICS_TYPE
        return parts.metrics()

    @route(app, "/openapi.json")
    def openapi() -> bytes:
        bottle.response.content_type = "application/json"
        return contract()


def _status_routes(app: bottle.Bottle, current: CurrentStatus) -> None:
    @route(app, "/api/status")
    def status() -> bytes:
        return tagged_body(current.answer())

    @route(app, "/api/status.html")
    def status_html() -> bytes:
        bottle.response.content_type = "text/html; charset=utf-8"
        return snapshot(current.document(), time.time())


def _history_routes(app: bottle.Bottle, parts: Parts) -> None:
    api = parts.history

    @route(app, "/api/history")
    def history() -> bytes:
        component, window = query_argument("component"), query_argument("window", "24h")
        if component not in parts.report.components:
            known = f"component must be one of {', '.join(parts.report.components)}."
            raise error_response(HTTPStatus.NOT_FOUND, detail=known)
        with rejecting_arguments():
            return tagged_body(api.history(component, window))

    @route(app, "/api/incidents")
    def incidents() -> bytes:
        before = query_argument("before") if "before" in bottle.request.query else None
        with rejecting_arguments():
            return tagged_body(api.incidents(query_number("limit", reports.DEFAULT, reports.MOST), before))

    @route(app, NOTE, method="PUT")
    def note(incident: str) -> bytes:
        if not access.has_token(header("Authorization"), parts.settings.notes_token):
            raise error_response(HTTPStatus.UNAUTHORIZED, detail="A note needs the bearer token NOTES_TOKEN.")
        text = _note_in_body()
        with rejecting_arguments():
            exists = api.note(int(incident), text)
        if not exists:
            raise bottle.HTTPError(404)
        return json_body({"id": int(incident), "note": text})


def _note_in_body() -> str:
    try:
        body = json.loads(bottle.request.body.read())
    except (ValueError, RecursionError):
        raise invalid_argument("The body must be JSON.") from None
    text = body.get("note") if isinstance(body, dict) and set(body) == {"note"} else None
    if not isinstance(text, str):
        raise invalid_argument('The body must be {"note": "a text"}.')
    return text
