"""Incidents as pages and programs read them, and the operator's notes on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from service.history.queries import Query
from service.history.windows import iso

DEFAULT, MOST = 50, 100
"""Incidents of one page, unless more or fewer are wanted; and at most."""
NOTE_LENGTH = 2000
"""Characters of a note at most."""
LARGEST_ID = 2**63 - 1

_FIELDS = """
    id, component,
    CAST(extract(epoch FROM started_at) AS double precision),
    CAST(extract(epoch FROM ended_at) AS double precision),
    worst, code, note,
    CAST(extract(epoch FROM updated_at) AS double precision)
"""


class Writable(Protocol):
    """`service.database.Pool`, as far as notes need it."""

    def transaction(self) -> Any:
        """Yield a cursor in a transaction."""


def incidents(query: Query, limit: int, before: str | None, now: float) -> dict[str, Any]:
    """Return one page of incidents, the newest first, ready for JSON.

    Args:
        query: runs SQL.
        limit: of the page; more than 100 counts as 100, less than 1 as 1.
        before: the `next` of the page before; None for the first page.
        now: in seconds since the epoch: what an open incident lasts until.

    Raises:
        ValueError: `before` is no such mark.
    """
    limit = min(max(limit, 1), MOST)
    condition, parameters = ("", ()) if before is None else _older_than(before)
    # condition is one of two constants; what the caller gave is among the parameters
    sql = f"SELECT {_FIELDS} FROM history_incident {condition} ORDER BY started_at DESC, id DESC LIMIT %s"  # noqa: S608
    rows = query(sql, (*parameters, limit + 1))
    more = len(rows) > limit
    return {
        "incidents": [_incident(row, now) for row in rows[:limit]],
        "next": _mark(rows[limit - 1]) if more else None,
    }


def open_incidents(query: Query, components: Collection[str], now: float) -> list[dict[str, Any]]:
    """Return the open incidents of these components, the newest first; a component has one at most.

    Those of a component that nobody looks at any more would be open for ever, which is why names are wanted.
    """
    sql = f"SELECT {_FIELDS} FROM history_incident WHERE ended_at IS NULL ORDER BY started_at DESC, id DESC"  # noqa: S608
    return [_incident(row, now) for row in query(sql, ()) if row[1] in components]


def set_note(pool: Writable, incident_id: int, note: str) -> bool:
    """Set the operator's note on an incident; return False when there is no such incident.

    Args:
        pool: of connections.
        incident_id: as in the answers of `incidents`.
        note: plain text; empty to remove it.

    Raises:
        ValueError: the note is longer than 2000 characters, or has characters that cannot be stored.
    """
    text = note.strip()
    if len(text) > NOTE_LENGTH:
        raise ValueError(f"The note may have {NOTE_LENGTH} characters, but it has {len(text)}.")
    if re.search(r"[\0\ud800-\udfff]", text):
        raise ValueError("The note has a character that cannot be stored.")
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


def _mark(row: Sequence[Any]) -> str:
    """Return what names a place in the list even after the incident there is removed: time in ms, and id."""
    return f"{round(row[2] * 1000)}-{row[0]}"


def _older_than(mark: str) -> tuple[str, tuple[object, ...]]:
    found = re.fullmatch(r"([0-9]{1,14})-([0-9]{1,18})", mark)
    if not found:
        raise ValueError(f"This is not the `next` of a page of incidents: {mark[:50]!r}.")
    return "WHERE (started_at, id) < (to_timestamp(%s), %s)", (int(found[1]) / 1000, int(found[2]))
