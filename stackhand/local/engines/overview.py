"""What the services that watch others report on all of them, as `/health/all` does in draft-inadarei-api-health-check.

`./inv up` ends when they report `pass`: a service may be healthy while another one cannot reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from stackhand.local.engines.engine import Engine
from stackhand.local.engines.health import ANSWER_WITHIN
from stackhand.project.stack.model import Service
from stackhand.system import http

WATCHES = "HEALTH_TARGETS"
"""Whoever has this variable, which is computed, watches the others, whatever it is called."""
PATH = "/health/all"
BODY_LIMIT = 16 * 1024 * 1024
Components = list[dict[str, Any]]


def urls(engine: Engine) -> dict[str, str]:
    """Return where the overall health of a stack is reported, by service; one that the engine leaves out is silent."""
    services = {name: engine.stack.services[name] for name in engine.services()}
    return {name: _url(each) for name, each in services.items() if each.port and WATCHES in each.environment}


def problems(url: str) -> list[str]:
    """Return what keeps the overall health from being `pass`, a line each; none where it is not reported at all."""
    try:
        response = http.get(url, timeout=ANSWER_WITHIN, limit=BODY_LIMIT)
    except (OSError, HTTPException) as error:
        return [f"{url}: {str(error).lower() or type(error).__name__}"]
    try:
        report = response.json()
        checks: dict[str, Components] = report["checks"]
        lines = [f"{name} {line}" for name, components in checks.items() for line in _lines(components)]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []  # an API of your own: 404, or a page
    return (
        [] if report.get("status") == "pass" else lines or [f"{url} answers {response.status}: {report.get('status')}"]
    )


def _url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}{PATH}"


def _lines(components: Components) -> Iterator[str]:
    for each in components:
        if each["status"] != "pass":
            yield f"has the status {each['status']}" + (f": {each['output']}" if each.get("output") else "")
