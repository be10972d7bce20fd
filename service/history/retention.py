"""Remove expired history, in small batches, by one replica an hour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from service.history import store

BATCH = 5000
"""Rows that one transaction removes: it holds the write lock for some hundredths of a second."""
SAMPLE_DAYS = 3
"""Days for which samples are kept: more than the stream of one replica covers, with a sample every 10 s."""
HOUR, DAY = 3600.0, 86400.0

# The database's clock counts as well: a process whose clock runs ahead must not remove recent history.
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
"""The condition for expired rows in each table; an open incident does not expire."""


def tidy(
    transaction: Callable[[], AbstractContextManager[Any]],
    now: float,
    *,
    minutes_days: int,
    days: int,
    stop: Callable[[], bool] = lambda: False,
) -> int | None:
    """Remove expired rows and return their number; None if a replica did so within the last hour.

    A row records the claim, because a transaction pooler would break a session lock. If a replica dies halfway, the
    next hour removes the rest.

    Args:
        transaction: gives a native pg8000 connection in a transaction.
        now: in seconds since the epoch.
        minutes_days: days for which statistics of minutes are kept.
        days: days for which statistics of hours and closed incidents are kept.
        stop: ends the removal early.
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
            rows = _remove(transaction, table, condition, used)
            removed += rows
            if rows < BATCH:
                break
    return removed


def _remove(
    transaction: Callable[[], AbstractContextManager[Any]], table: str, condition: str, limits: dict[str, float]
) -> int:
    sql = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT {BATCH}))"  # noqa: S608 - made of constants
    with transaction() as connection:
        store.lock(connection)
        connection.run(sql, **limits)
        return int(connection.row_count)
