"""What is asked without a key: below /_alb/ a load balancer answers it, below /v4/ a task's metadata, or nobody.

ministack itself would take what neither knows for a call of an API: headers and query decide there, not the path.
"""

from __future__ import annotations

from typing import Any

from ministack import app
from ministack.core import responses
from ministack.core.sigv4 import decode_header_value
from ministack.services import ecs_metadata

from stackhand.rehearsal.guard import METADATA

NOBODY = 404, {"Content-Type": "text/plain"}, b"there is no load balancer of that name\n"


async def public(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer what needs no key, as an ASGI application."""
    if scope["path"].startswith(METADATA):
        answer = await ecs_metadata.handle_request(scope["method"], scope["path"], {}, b"", {})
        await app._send_if_handled(send, answer, receive)
    else:
        await _balance(scope, receive, send)


async def _balance(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send a request on to a task."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        text = decode_header_value(value)
        headers[name] = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{text}" if name in headers else text
    responses.set_request_account_id("")  # and not one that the request names
    responses.set_request_region(None)
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        body = await app._read_request_body(receive, scope["method"], headers)
    except (app._RequestBodyDisconnected, app._IncompleteRequestBody):
        return
    answer = await app._handle_alb_request(
        headers.get("host", ""),
        scope["path"],
        scope["method"],
        headers,
        body,
        app.parse_qs(query, keep_blank_values=True),
        query,
        scope["raw_path"].decode("ascii") if scope.get("raw_path") else None,
    )
    await app._send_if_handled(app._with_date_header(send), answer or NOBODY, receive)
