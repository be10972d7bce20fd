"""Write rounds of samples to the database: samples first, then the statistics and incidents derived from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from service.history import incident_detection
from service.history.samples import Round
from service.history.statistics import BOUNDS, CLASSES

LOCK = 7_346_212_020
"""Key of the advisory lock of transactions that write the history; migrations use the preceding number."""

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

_STATISTICS = (
    *("passed", "warned", "failed", "unknown", "minutes"),
    *("latency_sum_ms", "latency_max_ms", "histogram"),
)
_REPLACE = ", ".join(f"{name} = EXCLUDED.{name}" for name in _STATISTICS)

# A subquery computes the statistics of each minute and hour. Otherwise the planner, which does not know how few there
# are, reads whole tables (155 ms for a round instead of 15).
_CLASS_COUNTS = ", ".join(f"count(*) FILTER (WHERE class = {number})" for number in range(CLASSES))
REFRESH_MINUTES = f"""
INSERT INTO history_minute (component, minute, {", ".join(_STATISTICS)})
SELECT touched.component, touched.minute, statistics.*
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
) AS statistics
ON CONFLICT (component, minute) DO UPDATE SET {_REPLACE}
"""  # noqa: S608 - made of the constants above

HISTOGRAM_SUM = "ARRAY[" + ", ".join(f"coalesce(sum(histogram[{n}]), 0)" for n in range(1, CLASSES + 1)) + "]"
"""SQL for the sum of histograms in one pass; unnesting them would make a row of each count."""
REFRESH_HOURS = f"""
INSERT INTO history_hour (component, hour, {", ".join(_STATISTICS)})
SELECT touched.component, touched.hour, statistics.*
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
) AS statistics
ON CONFLICT (component, hour) DO UPDATE SET {_REPLACE}
"""  # noqa: S608 - made of the constants above


def write(connection: Any, rounds: Sequence[Round], needed: int) -> int:
    """Write rounds, without effect for those already stored; the caller has begun a transaction.

    Args:
        connection: a native pg8000 connection.
        rounds: in any order.
        needed: samples in a row that open or close an incident.

    Returns:
        The number of refused rounds: statistics of their time can no longer be computed completely.
    """
    lock(connection)
    complete_from = connection.run(COMPLETE_FROM)[0][0]
    accepted = [each for each in rounds if each.at >= complete_from]
    stored = connection.run(INSERT, samples=json.dumps(_rows(accepted)))
    _refresh(connection, REFRESH_MINUTES, "minutes", "minute", {(name, at - at % 60) for name, at, _ in stored})
    _refresh(connection, REFRESH_HOURS, "hours", "hour", {(name, at - at % 3600) for name, at, _ in stored})
    known: dict[str, list[float]] = {}
    for name, at, status in stored:
        if status != "unknown":
            known.setdefault(name, []).append(at)
    for name in sorted(known):
        incident_detection.reconcile(connection, name, known[name], needed)
    return len(rounds) - len(accepted)


def lock(connection: Any) -> None:
    """Take the lock for writing the history, until the end of the transaction."""
    connection.run("SELECT pg_advisory_xact_lock(:key)", key=LOCK)


def _rows(rounds: Iterable[Round]) -> list[dict[str, object]]:
    return [
        {
            "component": sample.component,
            "at": each.at,
            "instance": each.instance,
            "sequence": each.sequence,
            "status": sample.status,
            "latency_ms": sample.latency_ms,
            "code": sample.code,
        }
        for each in rounds
        for sample in each.samples
    ]


def _refresh(connection: Any, sql: str, argument: str, field: str, touched: set[tuple[str, float]]) -> None:
    if touched:
        periods = json.dumps([{"component": name, field: start} for name, start in sorted(touched)])
        bounds = {"bounds": list(BOUNDS)} if argument == "minutes" else {}
        connection.run(sql, **{argument: periods}, **bounds)
