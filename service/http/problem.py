"""Errors as RFC 9457 problem documents, wherever they come from; nothing of ours (stack, SQL, address) is in them."""

from __future__ import annotations

import json
from http import HTTPStatus

CONTENT_TYPE = "application/problem+json"

SENTENCES = {
    "path_not_canonical": "The path must be written as it is, without escapes, dots or doubled slashes.",
    "request_header_fields_too_large": (
        "A header may have 16 KiB. Browsers send the cookies of all ports of a host: delete those of this one."
    ),
    "overloaded": "Too many requests are waiting.",
    "database_unavailable": "The database cannot be used now.",
    "pool_exhausted": "All connections to the database are in use.",
    "answer_delayed": "The answer was not ready in time.",
    "query_timeout": "The database took too long.",
}
"""Details for codes that say more than their status does."""
RETRY_AFTER = {HTTPStatus.SERVICE_UNAVAILABLE: "5"}
"""Seconds after which trying again is of use, by status."""


def code_of(status: HTTPStatus) -> str:
    """Return the code of an error that its status alone describes."""
    return status.name.lower()


def document(
    status: HTTPStatus, *, code: str = "", detail: str = "", instance: str = "", request_id: str = ""
) -> bytes:
    """Return a problem document.

    Args:
        status: of the response.
        code: a word that stays the same for programs; the status's own when it is empty.
        detail: a sentence for people; that of the code when it is empty.
        instance: the path that was asked for.
        request_id: under which the log has more.
    """
    code = code or code_of(status)
    found = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail or SENTENCES.get(code, ""),
        "instance": instance,
        "request_id": request_id,
    }
    return json.dumps({name: value for name, value in found.items() if value != ""}).encode()
