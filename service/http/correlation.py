"""Correlation ids: they identify a request in the log of every service it passes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context, section 3.2: no id is all zeros, version ff is invalid, later versions may add fields."""
AMAZON = re.compile(r"[A-Za-z0-9=;:,.@ -]{1,256}")


def request_id(environ: Mapping[str, object]) -> str:
    """Return the id in the request if it is well formed, else a new one: it appears in logs and headers."""
    given = str(environ.get("HTTP_X_REQUEST_ID", ""))
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def trace(environ: Mapping[str, object]) -> dict[str, str]:
    """Return the trace ids of a request for the log; malformed ones are skipped."""
    ids = {}
    given = str(environ.get("HTTP_TRACEPARENT", ""))
    parent = TRACEPARENT.fullmatch(given)
    if parent and (given[:2] != "00" or len(given) == 55):  # noqa: PLR2004 - the length of version 00
        ids["trace_id"] = parent[1]
    amazon = str(environ.get("HTTP_X_AMZN_TRACE_ID", ""))
    if AMAZON.fullmatch(amazon):
        ids["amzn_trace_id"] = amazon
    return ids
