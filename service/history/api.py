"""What the page asks of the history: each answer once per `cache_ttl`, however many ask."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from service import __version__, deadline
from service.answer import Answer, make_answer
from service.cache import AnswerDelayed, Cache
from service.database import DatabaseUnavailable
from service.health.component import iso
from service.health.report import Report
from service.history import documents, queries, reports
from service.history.windows import parse_window
from service.pool import Pool
from service.settings import Settings

PAST = "past"
PAST_WITHIN = 1.0
"""Seconds that what is known of the past may keep the present waiting."""


class HistoryApi:
    """Answers from the database, or from what is known of it.

    Args:
        settings: of this process.
        report: what is held true now.
        pool: connections to the database.
        cache: of answers.
        ready: whether the schema is there.
    """

    def __init__(self, settings: Settings, report: Report, pool: Pool, cache: Cache, ready: Callable[[], bool]) -> None:
        self._settings = settings
        self._report = report
        self._pool = pool
        self._cache = cache
        self._ready = ready

    def status(self) -> Answer:
        """Return what is held true now, with today's uptime and the open incidents.

        The present needs no database. What is known of the past is left out, or marked as stale, without it.
        """
        stable = {**self.present(), **self._past()}
        components = stable["components"]
        # An age grows while nothing changes: who has this answer already knows.
        bare = stable | {"components": [{name: each[name] for name in each if name != "age"} for each in components]}
        tag = hashlib.sha256(json.dumps(bare).encode()).hexdigest()[:32]
        answer = make_answer({**stable, "time": iso(time.time())})
        return Answer(answer.body, f'W/"{tag}"', answer.made_at)

    def present(self) -> dict[str, Any]:
        """Return what is held true now; needs no dependency."""
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

    def history(self, component: str, window: str) -> Answer:
        """Return a component's past; `stale` in it says that this is the last known answer, for want of a newer.

        Raises:
            ValueError: there is no such window.
            DatabaseUnavailable: nothing is known of it, and the database cannot be asked.
            AnswerDelayed: the answer is not ready in time.
        """
        chosen = parse_window(window)
        return _marked(
            self._kept(
                f"history:{component}:{window}", lambda: queries.history(self._query, component, chosen, time.time())
            )
        )

    def incidents(self, limit: int, before: str | None) -> Answer:
        """Return one page of incidents, the newest first.

        Raises:
            ValueError: `before` is no mark that a page has given.
            DatabaseUnavailable: as for `history`.
            AnswerDelayed: likewise.
        """
        # Others than the first are asked for by hand, and each is another one.
        if before is not None:
            self._require_schema()
            return _marked(make_answer(reports.incidents(self._query, limit, before, time.time())))
        return _marked(
            self._kept(f"incidents:{limit}", lambda: reports.incidents(self._query, limit, None, time.time()))
        )

    def note(self, incident: int, text: str) -> bool:
        """Set an incident's note and return whether there is such an incident.

        Raises:
            ValueError: the note cannot be stored.
            DatabaseUnavailable: the database cannot be asked.
        """
        self._require_schema()
        found = reports.set_note(self._pool, incident, text)
        for limit in (reports.DEFAULT, reports.MOST):
            self._cache.invalidate(f"incidents:{limit}")
        self._cache.invalidate(PAST)
        return found

    def _past(self) -> dict[str, Any]:
        names = list(self._report.components)

        def make() -> dict[str, Any]:
            # A database may hang without anybody knowing yet, and the page asks for the present every second or so.
            with deadline.within(PAST_WITHIN):
                return documents.status_document(self._query, {}, names, time.time())

        try:
            answer = self._kept(PAST, make)
        except (DatabaseUnavailable, AnswerDelayed):
            return {"history": {"known": False, "stale": True}, "uptime": {}, "incidents": []}
        return {"history": {"known": True, "stale": answer.stale}, **json.loads(answer.body)}

    def _kept(self, key: str, make: Callable[[], dict[str, Any]]) -> Answer:
        self._require_schema()
        return self._cache.get_or_make(key, make)

    def _require_schema(self) -> None:
        if not self._ready():
            raise DatabaseUnavailable("the schema is not there yet")

    def _query(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        return self._pool.query(sql, parameters)


def _marked(answer: Answer) -> Answer:
    """Return an answer that says itself whether it is stale."""
    word, tag = (b"true", f'{answer.etag[:-1]}-stale"') if answer.stale else (b"false", answer.etag)
    return replace(answer, body=b'{"stale":' + word + b"," + answer.body[1:], etag=tag)
