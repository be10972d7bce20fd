"""What pages read of the history: the database answers once per `cache_ttl`, however many clients ask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from service import deadline
from service.answer import Answer, make_answer
from service.cache import AnswerDelayed, Cache
from service.database import DatabaseUnavailable
from service.history import queries, reports
from service.history.statistics import WINDOWS, parse_window
from service.pool import Pool

SUMMARY = "past"
SUMMARY_TIMEOUT = 1.0
"""Seconds for which the current state waits for the history."""


class HistoryApi:
    """Answers from the database, or from the cache.

    Args:
        components: their names.
        pool: connections to the database.
        cache: of answers.
        ready: whether the schema exists.
    """

    def __init__(self, components: list[str], pool: Pool, cache: Cache, ready: Callable[[], bool]) -> None:
        self._components = components
        self._pool = pool
        self._cache = cache
        self._ready = ready

    def summary(self) -> dict[str, Any]:
        """Return the uptime of 24 hours and the open incidents, and whether they are known and stale."""

        def make() -> dict[str, Any]:
            # A database can hang before any probe notices, and the page requests the current state every second or so.
            with deadline.within(SUMMARY_TIMEOUT):
                return summarize(self._pool.query, self._components, time.time())

        try:
            answer = self._cached(SUMMARY, make)
        except (DatabaseUnavailable, AnswerDelayed):
            return {"history": {"known": False, "stale": True}, "uptime": {}, "incidents": []}
        return {"history": {"known": True, "stale": answer.stale}, **json.loads(answer.body)}

    def history(self, component: str, window: str) -> Answer:
        """Return the history of a component; `stale` in it marks the last known answer.

        Raises:
            ValueError: there is no such window.
            DatabaseUnavailable: no answer is known, and the database is unavailable.
            AnswerDelayed: the answer is not ready in time.
        """
        chosen = parse_window(window)

        def make() -> dict[str, Any]:
            return queries.history(self._pool.query, component, chosen, time.time())

        return _marked(self._cached(f"history:{component}:{window}", make))

    def incidents(self, limit: int, before: str | None) -> Answer:
        """Return one page of incidents, the newest first.

        Raises:
            ValueError: `before` is not the `next` of a page.
            DatabaseUnavailable: as for `history`.
            AnswerDelayed: likewise.
        """

        def make() -> dict[str, Any]:
            return reports.incidents(self._pool.query, limit, before, time.time())

        # People request older pages one by one, so that caching them gains nothing.
        if before is not None:
            self._require_schema()
            return _marked(make_answer(make()))
        return _marked(self._cached(f"incidents:{limit}", make))

    def note(self, incident: int, text: str) -> bool:
        """Set the note on an incident; return False if the incident does not exist.

        Raises:
            ValueError: the note cannot be stored.
            DatabaseUnavailable: the database is unavailable.
        """
        self._require_schema()
        exists = reports.set_note(self._pool, incident, text)
        for limit in (reports.DEFAULT, reports.MOST):
            self._cache.invalidate(f"incidents:{limit}")
        self._cache.invalidate(SUMMARY)
        return exists

    def _cached(self, key: str, make: Callable[[], dict[str, Any]]) -> Answer:
        self._require_schema()
        return self._cache.get_or_make(key, make)

    def _require_schema(self) -> None:
        if not self._ready():
            raise DatabaseUnavailable("the schema does not exist yet")


def summarize(query: queries.Query, components: list[str], now: float) -> dict[str, Any]:
    """Return the uptime of 24 hours and the open incidents of these components."""
    uptime = queries.uptime(query, WINDOWS["24h"], now)
    return {
        "uptime": {name: uptime.get(name) or queries.no_uptime() for name in components},
        "incidents": reports.open_incidents(query, components, now),
    }


def _marked(answer: Answer) -> Answer:
    """Return an answer whose body and ETag tell whether it is stale."""
    flag, tag = (b"true", f'{answer.etag[:-1]}-stale"') if answer.stale else (b"false", answer.etag)
    return replace(answer, body=b'{"stale":' + flag + b"," + answer.body[1:], etag=tag)
