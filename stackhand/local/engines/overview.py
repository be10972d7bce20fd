"""What the services that watch others report on all of them, as `/health/all` does in draft-inadarei-api-health-check.

`./inv up` ends when they report `pass`: a service may be healthy while another one cannot reach it.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from stackhand.local.engines.engine import Engine
from stackhand.local.engines.health import ANSWER_WITHIN
from stackhand.project.model import Service

WATCHES = "HEALTH_TARGETS"
"""Whoever has this variable, which is computed, watches the others, whatever it is called."""
PATH = "/health/all"
Components = list[dict[str, Any]]


def urls(engine: Engine) -> dict[str, str]:
    """Return where the overall health of a stack is reported, by service; one that the engine leaves out is silent."""
    services = {name: engine.stack.services[name] for name in engine.services()}
    return {name: _url(each) for name, each in services.items() if each.port and WATCHES in each.environment}


def problems(url: str) -> list[str]:
    """Return what keeps the overall health from being `pass`, a line each; none where it is not reported at all."""
    try:
        status, body = _get(url)
    except (OSError, http.client.HTTPException) as error:
        return [f"{url}: {str(error).lower() or type(error).__name__}"]
    try:
        found = json.loads(body)
        checks: dict[str, Components] = found["checks"]
        lines = [f"{name} {line}" for name, components in checks.items() for line in _lines(components)]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []  # an API of your own: 404, or a page
    return [] if found.get("status") == "pass" else lines or [f"{url} answers {status}: {found.get('status')}"]


def _url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}{PATH}"


def _lines(components: Components) -> Iterator[str]:
    for each in components:
        if each["status"] != "pass":
            yield f"has the status {each['status']}" + (f": {each['output']}" if each.get("output") else "")


def _get(url: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_WITHIN)
    try:
        connection.request("GET", parts.path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
