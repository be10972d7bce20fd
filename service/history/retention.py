"""Removing what is older than it has to be kept, a little at a time, and by one replica an hour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from service.history import store

BATCH = 5000
"""Rows that one transaction removes: it holds the lock of those who write, for some hundredths of a second."""
SAMPLE_DAYS = 3
"""Days for which samples are kept: longer than the stream of one replica reaches back, with 10 s between samples."""
HOUR, DAY = 3600.0, 86400.0

# A process whose clock runs ahead must not remove what is still young: hence the database's own clock, too.
CLAIM = """
UPDATE history_state
SET tidied_at = least(to_timestamp(:now), now()),
    complete_from = greatest(
        complete_from,
        date_trunc('hour', least(to_timestamp(:now), now()), 'UTC') - make_interval(days => CAST(:days AS integer))
    )
WHERE tidied_at <= to_timestamp(:now) - interval '1 hour'
RETURNING CAST(extract(epoch FROM tidied_at) AS double precision)
"""
OLD = {
    "history_sample": "at < (SELECT complete_from FROM history_state)",
    "history_minute": "minute < to_timestamp(:minutes)",
    "history_hour": "hour < to_timestamp(:hours)",
    "history_incident": "ended_at < to_timestamp(:hours)",
}
"""What is old in each table; an incident that is still open is not."""


def tidy(
    transaction: Callable[[], AbstractContextManager[Any]],
    now: float,
    *,
    minutes_days: int,
    days: int,
    stop: Callable[[], bool] = lambda: False,
) -> int | None:
    """Remove what is too old, unless a replica did within the last hour; return how many rows, or None.

    The claim is a row and not a session's lock, which a pooler of transactions in between would break; what a
    replica leaves behind that dies in the middle, the next hour's removes.

    Args:
        transaction: gives a connection of pg8000's native kind in a transaction.
        now: in seconds since the epoch.
        minutes_days: days for which figures of minutes are kept.
        days: days for which figures of hours and ended incidents are kept.
        stop: ends the removing early.
    """
    with transaction() as connection:
        store.lock(connection)
        claimed = connection.run(CLAIM, now=now, days=min(SAMPLE_DAYS, minutes_days))
    if not claimed:
        return None
    hour = claimed[0][0] - claimed[0][0] % HOUR
    limits = {"minutes": hour - minutes_days * DAY, "hours": hour - days * DAY}
    removed = 0
    for table, condition in OLD.items():
        used = {name: value for name, value in limits.items() if f":{name}" in condition}
        while not stop():
            found = _remove(transaction, table, condition, used)
            removed += found
            if found < BATCH:
                break
    return removed


def _remove(
    transaction: Callable[[], AbstractContextManager[Any]], table: str, condition: str, limits: dict[str, float]
) -> int:
    sql = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT {BATCH}))"  # noqa: S608 - of our own words
    with transaction() as connection:
        store.lock(connection)
        connection.run(sql, **limits)
        return int(connection.row_count)
