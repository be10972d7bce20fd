"""Errors as RFC 9457 problem documents; they never contain internals such as a stack trace, SQL or an address."""

from __future__ import annotations

import json
from http import HTTPStatus

CONTENT_TYPE = "application/problem+json"

DETAILS = {
    "path_not_canonical": "The path must be in canonical form, without escapes, dot segments or double slashes.",
    "request_header_fields_too_large": (
        "A header may have 16 KiB. Browsers send the cookies of all ports of a host: delete those of this one."
    ),
    "overloaded": "Too many requests are waiting.",
    "database_unavailable": "The database is unavailable.",
    "pool_exhausted": "All connections to the database are in use.",
    "answer_delayed": "The answer was not ready in time.",
    "query_timeout": "The database took too long.",
}
"""Details for codes that are more specific than their status."""
RETRY_AFTER = {HTTPStatus.SERVICE_UNAVAILABLE: "5"}
"""Seconds after which a retry makes sense, by status."""


def code_of(status: HTTPStatus) -> str:
    """Return the default code of a status."""
    return status.name.lower()


def document(
    status: HTTPStatus, *, code: str = "", detail: str = "", instance: str = "", request_id: str = ""
) -> bytes:
    """Return a problem document.

    Args:
        status: of the response.
        code: a stable code for programs; empty: the default of the status.
        detail: a sentence for people; empty: the default of the code.
        instance: the requested path.
        request_id: finds the request in the log.
    """
    code = code or code_of(status)
    fields = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail or DETAILS.get(code, ""),
        "instance": instance,
        "request_id": request_id,
    }
    return json.dumps({name: value for name, value in fields.items() if value != ""}).encode()
