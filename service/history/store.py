"""Writing rounds of samples into the database: samples first, then all figures and incidents that follow from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from service.history import reckoning
from service.history.figures import BOUNDS, CLASSES
from service.history.samples import Round

LOCK = 7_346_212_020
"""Key of the advisory lock that transactions take which write the history; migrations have the number before."""

COMPLETE_FROM = "SELECT CAST(extract(epoch FROM complete_from) AS double precision) FROM history_state"
INSERT = """
INSERT INTO history_sample (component, at, instance, sequence, status, latency_ms, code)
SELECT component, to_timestamp(at), instance, sequence, status, latency_ms, code
FROM jsonb_to_recordset(CAST(:samples AS jsonb)) AS given (
    component text, at double precision, instance uuid, sequence integer,
    status text, latency_ms double precision, code text
)
ON CONFLICT DO NOTHING
RETURNING component, CAST(extract(epoch FROM at) AS double precision), status
"""

_FIGURES = (
    *("passed", "warned", "failed", "unknown", "minutes"),
    *("latency_sum_ms", "latency_max_ms", "histogram"),
)
_REPLACE = ", ".join(f"{name} = EXCLUDED.{name}" for name in _FIGURES)

# The figures of each minute, and hour, are computed in a subquery of its own: the planner, which does not know how few
# they are, would else read whole tables (155 ms for a round, in place of 15).
_CLASS_COUNTS = ", ".join(f"count(*) FILTER (WHERE class = {number})" for number in range(CLASSES))
REFRESH_MINUTES = f"""
INSERT INTO history_minute (component, minute, {", ".join(_FIGURES)})
SELECT touched.component, touched.minute, figures.*
FROM (
    SELECT component, to_timestamp(minute) AS minute
    FROM jsonb_to_recordset(CAST(:minutes AS jsonb)) AS given (component text, minute double precision)
) AS touched
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE status = 'pass'),
        count(*) FILTER (WHERE status = 'warn'),
        count(*) FILTER (WHERE status = 'fail'),
        count(*) FILTER (WHERE status = 'unknown'),
        CASE WHEN bool_or(status <> 'unknown') THEN 1 ELSE 0 END,
        coalesce(sum(latency_ms) FILTER (WHERE class IS NOT NULL), 0),
        max(latency_ms) FILTER (WHERE class IS NOT NULL),
        CAST(ARRAY[{_CLASS_COUNTS}] AS integer[])
    FROM (
        SELECT
            status,
            latency_ms,
            CASE WHEN status IN ('pass', 'warn')
                THEN width_bucket(latency_ms, CAST(:bounds AS double precision[])) END AS class
        FROM history_sample
        WHERE component = touched.component AND at >= touched.minute AND at < touched.minute + interval '1 minute'
    ) AS classed
) AS figures
ON CONFLICT (component, minute) DO UPDATE SET {_REPLACE}
"""  # noqa: S608 - made of names that stand above

HISTOGRAM_SUM = "ARRAY[" + ", ".join(f"coalesce(sum(histogram[{n}]), 0)" for n in range(1, CLASSES + 1)) + "]"
"""SQL for the sum of histograms; one pass, where unnesting them would make a row of each count."""
REFRESH_HOURS = f"""
INSERT INTO history_hour (component, hour, {", ".join(_FIGURES)})
SELECT touched.component, touched.hour, figures.*
FROM (
    SELECT component, to_timestamp(hour) AS hour
    FROM jsonb_to_recordset(CAST(:hours AS jsonb)) AS given (component text, hour double precision)
) AS touched
CROSS JOIN LATERAL (
    SELECT
        sum(passed), sum(warned), sum(failed), sum(unknown), sum(minutes),
        sum(latency_sum_ms), max(latency_max_ms), CAST({HISTOGRAM_SUM} AS integer[])
    FROM history_minute
    WHERE component = touched.component AND minute >= touched.hour AND minute < touched.hour + interval '1 hour'
) AS figures
ON CONFLICT (component, hour) DO UPDATE SET {_REPLACE}
"""  # noqa: S608 - made of names that stand above


def write(connection: Any, rounds: Sequence[Round], needed: int) -> int:
    """Write rounds, those that are there already without effect; the caller has begun a transaction.

    Args:
        connection: pg8000's native kind.
        rounds: in any order.
        needed: samples in a row that open or close an incident.

    Returns:
        How many of the rounds were refused, because figures of their time can no more be computed whole.
    """
    lock(connection)
    complete_from = connection.run(COMPLETE_FROM)[0][0]
    accepted = [taken for taken in rounds if taken.at >= complete_from]
    stored = connection.run(INSERT, samples=json.dumps(_rows(accepted)))
    _refresh(connection, REFRESH_MINUTES, "minutes", "minute", {(name, at - at % 60) for name, at, _ in stored})
    _refresh(connection, REFRESH_HOURS, "hours", "hour", {(name, at - at % 3600) for name, at, _ in stored})
    known: dict[str, list[float]] = {}
    for name, at, status in stored:
        if status != "unknown":
            known.setdefault(name, []).append(at)
    for name in sorted(known):
        reckoning.refresh(connection, name, known[name], needed)
    return len(rounds) - len(accepted)


def lock(connection: Any) -> None:
    """Take the lock of all who write the history, until the end of the transaction."""
    connection.run("SELECT pg_advisory_xact_lock(:key)", key=LOCK)


def _rows(rounds: Iterable[Round]) -> list[dict[str, object]]:
    return [
        {
            "component": reading.component,
            "at": taken.at,
            "instance": taken.instance,
            "sequence": taken.sequence,
            "status": reading.status,
            "latency_ms": reading.latency_ms,
            "code": reading.code,
        }
        for taken in rounds
        for reading in taken.readings
    ]


def _refresh(connection: Any, sql: str, argument: str, field: str, touched: set[tuple[str, float]]) -> None:
    if touched:
        given = json.dumps([{"component": name, field: start} for name, start in sorted(touched)])
        bounds = {"bounds": list(BOUNDS)} if argument == "minutes" else {}
        connection.run(sql, **{argument: given}, **bounds)
