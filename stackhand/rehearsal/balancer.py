"""What is asked below /_alb/, without a key: a load balancer answers it, or nobody.

ministack itself would take what no load balancer answers for a call of an API, whatever its path.
"""

from __future__ import annotations

from typing import Any

from ministack import app
from ministack.core import responses
from ministack.core.sigv4 import decode_header_value

NOBODY = 404, {"Content-Type": "text/plain"}, b"there is no load balancer of that name\n"


async def balancer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send a request on to a task, as an ASGI application."""
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
