"""Incidents as clients read them, and the operator's notes on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from service.health.state import iso
from service.history.queries import Query

DEFAULT, MOST = 50, 100
"""Incidents on one page, by default and at most."""
NOTE_LENGTH = 2000
"""Maximum number of characters in a note."""
LARGEST_ID = 2**63 - 1

_FIELDS = """
    id, component,
    CAST(extract(epoch FROM started_at) AS double precision),
    CAST(extract(epoch FROM ended_at) AS double precision),
    worst, code, note,
    CAST(extract(epoch FROM updated_at) AS double precision)
"""


class Writable(Protocol):
    """The part of `service.pool.Pool` that notes need."""

    def transaction(self) -> Any:
        """Yield a cursor in a transaction."""


def incidents(query: Query, limit: int, before: str | None, now: float) -> dict[str, Any]:
    """Return one page of incidents, the newest first, ready for JSON.

    Args:
        query: runs SQL.
        limit: of the page, from 1 to 100; other values count as the nearest of these.
        before: the `next` of the previous page; None for the first page.
        now: in seconds since the epoch: the end of an open incident so far.

    Raises:
        ValueError: `before` is not the `next` of a page.
    """
    limit = min(max(limit, 1), MOST)
    condition, parameters = ("", ()) if before is None else _older_than(before)
    # condition is one of two constants; values from the caller are parameters
    sql = f"SELECT {_FIELDS} FROM history_incident {condition} ORDER BY started_at DESC, id DESC LIMIT %s"  # noqa: S608
    rows = query(sql, (*parameters, limit + 1))
    more = len(rows) > limit
    return {
        "incidents": [_incident(row, now) for row in rows[:limit]],
        "next": _cursor(rows[limit - 1]) if more else None,
    }


def open_incidents(query: Query, components: Collection[str], now: float) -> list[dict[str, Any]]:
    """Return the open incidents of these components, the newest first; a component has at most one.

    The names are required because an incident of a removed component never closes.
    """
    sql = f"SELECT {_FIELDS} FROM history_incident WHERE ended_at IS NULL ORDER BY started_at DESC, id DESC"  # noqa: S608
    return [_incident(row, now) for row in query(sql, ()) if row[1] in components]


def set_note(pool: Writable, incident_id: int, note: str) -> bool:
    """Set the operator's note on an incident; return False if the incident does not exist.

    Args:
        pool: of connections.
        incident_id: as in the answers of `incidents`.
        note: plain text; empty removes it.

    Raises:
        ValueError: the note is longer than 2000 characters, or contains characters that cannot be stored.
    """
    text = note.strip()
    if len(text) > NOTE_LENGTH:
        raise ValueError(f"The note may have at most {NOTE_LENGTH} characters, but it has {len(text)}.")
    if re.search(r"[\0\ud800-\udfff]", text):
        raise ValueError("The note contains a character that cannot be stored.")
    if not 0 < incident_id <= LARGEST_ID:
        return False
    sql = "UPDATE history_incident SET note = %s, updated_at = now() WHERE id = %s RETURNING id"
    with pool.transaction() as cursor:
        cursor.execute(sql, (text, incident_id))
        return cursor.fetchone() is not None


def _incident(row: Sequence[Any], now: float) -> dict[str, Any]:
    identity, component, started, ended, worst, code, note, updated = row
    return {
        "id": identity,
        "component": component,
        "state": worst,
        "code": code,
        "started_at": iso(started),
        "ended_at": None if ended is None else iso(ended),
        "duration_s": round(max(0.0, (now if ended is None else ended) - started), 1),
        "note": note,
        "updated_at": iso(updated),
    }


def _cursor(row: Sequence[Any]) -> str:
    """Return a cursor that stays valid after its incident is removed: time in ms, and id."""
    return f"{round(row[2] * 1000)}-{row[0]}"


def _older_than(cursor: str) -> tuple[str, tuple[object, ...]]:
    match = re.fullmatch(r"([0-9]{1,14})-([0-9]{1,18})", cursor)
    if not match:
        raise ValueError(f"This is not the `next` of a page of incidents: {cursor[:50]!r}.")
    return "WHERE (started_at, id) < (to_timestamp(%s), %s)", (int(match[1]) / 1000, int(match[2]))
