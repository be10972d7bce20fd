"""Health answers, rendered at most ten times a second however often they are requested."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from service import __version__
from service.health import state as states
from service.health.component import Component
from service.http import access, problem

TICK = 0.1
"""Seconds for which a rendered answer is reused: the ages in it have no finer resolution."""
USABLE = frozenset({states.PASS, states.WARN})
ALIVE = json.dumps({"status": "pass", "version": __version__}, separators=(",", ":")).encode()
CONTENT_TYPE = "application/health+json"


class Phase:
    """The phase of a process: starting, migrating, ready or draining."""

    def __init__(self) -> None:
        self.name = "starting"
        self.schema_version = 0


class Report:
    """The state of all components.

    Args:
        components: by name.
        phase: of this process.
        token: grants access to addresses and error texts; empty: nobody has it.
    """

    def __init__(self, components: Mapping[str, Component], phase: Phase, token: str = "") -> None:
        self.components = components
        self.phase = phase
        self._token = token
        self._rendered: dict[tuple[str, bool], tuple[int, str, bytes]] = {}
        self._lock = threading.Lock()

    def may_see_details(self, authorization: str) -> bool:
        """Return whether the value of an Authorization header grants access to details."""
        return access.has_token(authorization, self._token)

    def overall(self) -> str:
        """Return pass, warn or fail."""
        return states.overall((each.status, each.critical) for each in self.components.values())

    def answer(self, name: str, *, details: bool = False) -> tuple[str, bytes]:
        """Return the status and the body of `/health/NAME`: all, ready, or a component.

        Raises:
            KeyError: there is no component of that name.
        """
        tick = int(time.monotonic() / TICK)
        rendered = self._rendered.get((name, details))
        if rendered and rendered[0] == tick and name != "ready":
            return rendered[1], rendered[2]
        status, fields = self._document(name, details=details)
        body = json.dumps({"status": status, **fields}, separators=(",", ":")).encode()
        with self._lock:
            self._rendered[name, details] = (tick, status, body)
        return status, body

    def response(self, path: str, *, details: bool = False) -> tuple[int, bytes] | None:
        """Return the HTTP status and the body of a path below /health; None if the path does not exist."""
        if path == "/health":
            return 200, ALIVE
        try:
            status, body = self.answer(path.removeprefix("/health/"), details=details)
        except KeyError:
            return None
        return (200 if status in USABLE else 503), body

    def _document(self, name: str, *, details: bool) -> tuple[str, dict[str, Any]]:
        if name == "ready":
            return states.PASS if self.phase.name == "ready" else states.FAIL, {"phase": self.phase.name}
        if name == "all":
            checks = {each.name: [each.to_dict(details=details)] for each in self.components.values()}
            return self.overall(), {"version": __version__, "phase": self.phase.name, "checks": checks}
        component = self.components[name].to_dict(details=details)
        return str(component["status"]), {"checks": {name: [component]}}


def is_answered_from_memory(path: str) -> bool:
    """Return whether a path needs no thread, because memory holds its answer."""
    return path == "/health" or path.startswith("/health/")


def headers(status: int) -> dict[str, str]:
    """Return the headers that a health answer adds to those of every answer."""
    retry_after = problem.RETRY_AFTER.get(HTTPStatus(status))
    return {"Content-Type": CONTENT_TYPE} | ({"Retry-After": retry_after} if retry_after else {})
