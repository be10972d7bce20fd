"""The answer of /api/status: what is known now, beside what the history says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from service.history.queries import Query, no_uptime, uptime
from service.history.reports import open_incidents
from service.history.windows import WINDOWS


def status_document(
    query: Query, now_state: Mapping[str, Any], components: Collection[str], now: float
) -> dict[str, Any]:
    """Return the present state with the uptime of 24 hours and the open incidents of each component.

    Args:
        query: runs SQL.
        now_state: what is known now, ready for JSON; taken over as it is.
        components: names of those that are looked at.
        now: in seconds since the epoch.
    """
    found = uptime(query, WINDOWS["24h"], now)
    return {
        **now_state,
        "uptime": {name: found.get(name) or no_uptime() for name in components},
        "incidents": open_incidents(query, components, now),
    }
