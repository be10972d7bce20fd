"""Health answers, rendered at most ten times a second however often they are asked for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from service import __version__
from service.health import state as states
from service.health.component import Component
from service.http import bearer

TICK = 0.1
"""Seconds for which a rendered answer is given again: the ages in it have no finer steps."""


class Phase:
    """Where a process is in its life: starting, migrating, ready or draining."""

    def __init__(self) -> None:
        self.name = "starting"
        self.schema_version = 0


class Report:
    """What is said about the components.

    Args:
        components: by name.
        phase: of this process.
        token: who has it reads addresses and errors too; empty: nobody does.
    """

    def __init__(self, components: Mapping[str, Component], phase: Phase, token: str = "") -> None:
        self.components = components
        self.phase = phase
        self._token = token
        self._rendered: dict[tuple[str, bool], tuple[int, str, bytes]] = {}
        self._lock = threading.Lock()

    def may_see_details(self, given: str) -> bool:
        """Whether an Authorization header's value has the token."""
        return bearer.has(given, self._token)

    def overall(self) -> str:
        """Return pass, warn or fail."""
        return states.overall((each.status, each.critical) for each in self.components.values())

    def answer(self, name: str, *, details: bool = False) -> tuple[str, bytes]:
        """Return the status and the body for `/health/NAME`: all, ready, or a component.

        Raises:
            KeyError: there is no component of that name.
        """
        tick = int(time.monotonic() / TICK)
        kept = self._rendered.get((name, details))
        if kept and kept[0] == tick and name != "ready":
            return kept[1], kept[2]
        status, fields = self._document(name, details=details)
        body = json.dumps({"status": status, **fields}, separators=(",", ":")).encode()
        with self._lock:
            self._rendered[name, details] = (tick, status, body)
        return status, body

    def _document(self, name: str, *, details: bool) -> tuple[str, dict[str, Any]]:
        if name == "ready":
            return states.PASS if self.phase.name == "ready" else states.FAIL, {"phase": self.phase.name}
        if name == "all":
            checks = {each.name: [each.to_dict(details=details)] for each in self.components.values()}
            return self.overall(), {"version": __version__, "phase": self.phase.name, "checks": checks}
        found = self.components[name].to_dict(details=details)
        return str(found["status"]), {"checks": {name: [found]}}
