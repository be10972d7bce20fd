"""The ids under which a request is found again in the logs of everybody it passed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context, section 3.2: no id is all zeros, and the version ff is none; later versions may add fields."""
AMAZON = re.compile(r"[A-Za-z0-9=;:,.@ -]{1,256}")


def request_id(environ: Mapping[str, object]) -> str:
    """Return the id that came with a request when it is well formed, else a new one: it stands in logs and headers."""
    given = str(environ.get("HTTP_X_REQUEST_ID", ""))
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def trace(environ: Mapping[str, object]) -> dict[str, str]:
    """Return the ids of the traces a request belongs to, for the log; those that are not well formed are left out."""
    found = {}
    given = str(environ.get("HTTP_TRACEPARENT", ""))
    parent = TRACEPARENT.fullmatch(given)
    if parent and (given[:2] != "00" or len(given) == 55):  # noqa: PLR2004 - the length of version 00
        found["trace_id"] = parent[1]
    amazon = str(environ.get("HTTP_X_AMZN_TRACE_ID", ""))
    if AMAZON.fullmatch(amazon):
        found["amzn_trace_id"] = amazon
    return found
