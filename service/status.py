"""The current state: from memory, with what the history adds to it."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from service import __version__
from service.answer import Answer, make_answer
from service.health.report import Report
from service.health.state import iso
from service.history.api import HistoryApi
from service.settings import Settings
from service.snapshot import display


class CurrentStatus:
    """The answers of /api/status.

    Args:
        settings: of this process.
        report: the state of the components.
        history: adds uptime and open incidents.
    """

    def __init__(self, settings: Settings, report: Report, history: HistoryApi) -> None:
        self._settings = settings
        self._report = report
        self._history = history

    def document(self) -> dict[str, Any]:
        """Return the current state; needs no dependency."""
        return {
            "status": self._report.overall(),
            "phase": self._report.phase.name,
            "version": __version__,
            "environment": self._settings.environment,
            "stack": self._settings.stack,
            "engine": self._settings.engine,
            "components": [
                {**each.to_dict(), "name": each.name, "critical": each.critical}
                for each in self._report.components.values()
            ],
        }

    def answer(self) -> Answer:
        """Return the current state with its words, the uptime of 24 hours and the open incidents.

        Without the database, the history is missing or marked as stale.
        """
        current = self.document()
        stable = {**current, "display": display(current), **self._history.summary()}
        # The age of a component grows although nothing changes, so it is not part of the tag.
        components = [{name: each[name] for name in each if name != "age"} for each in current["components"]]
        tag = hashlib.sha256(json.dumps(stable | {"components": components}).encode()).hexdigest()[:32]
        answer = make_answer({**stable, "time": iso(time.time())})
        return Answer(answer.body, f'W/"{tag}"', answer.made_at)
