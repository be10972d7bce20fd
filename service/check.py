"""`python -m service check`: the health check of the container, which has no curl."""

from __future__ import annotations

import http.client
import sys

from service.settings import Settings

ANSWER_WITHIN = 2.0


def check(settings: Settings) -> int:
    """Return 0 if the service on this machine says it is ready, 1 if not."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=ANSWER_WITHIN)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
    except OSError as error:
        print(f"no answer: {error}", file=sys.stderr)  # noqa: T201 - for docker inspect
        return 1
    print(body)  # noqa: T201
    return 0 if response.status == 200 else 1  # noqa: PLR2004 - OK
