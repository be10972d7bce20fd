"""Queries of the history: statistics of a window and its buckets, and uptime."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service.health.state import FAIL, PASS, WARN, iso
from service.history.statistics import MINUTE, Window, percent, percentile
from service.history.store import HISTOGRAM_SUM

Query = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""The signature of `service.pool.Pool.query`."""

NO_DATA = "no_data"
FAILED_SAMPLES = 3
"""Failed samples that make a bucket fail, however many passed; fewer make it warn."""
DECIMALS = 1000
UPTIME = (
    "Uptime is the share of samples that passed or passed with a warning, among all samples with a known result."
    " Times without data count neither as up nor as down; coverage is the share of minutes of the window so far"
    " that have data."
)

_TOTALS = "sum(passed), sum(warned), sum(failed), sum(minutes), max(latency_max_ms)"


@dataclass(frozen=True)
class Totals:
    """Sums over a part of a window; `minutes` is the number of minutes with data."""

    passed: int = 0
    warned: int = 0
    failed: int = 0
    minutes: int = 0
    latency_max_ms: float | None = None
    histogram: tuple[int, ...] = ()

    @property
    def known(self) -> int:
        """Number of samples with a known result."""
        return self.passed + self.warned + self.failed

    @property
    def state(self) -> str:
        """Pass, warn, fail or no_data: a bucket with a failed sample, or without samples, never passes."""
        if self.known == 0:
            return NO_DATA
        if self.failed >= FAILED_SAMPLES or 2 * self.failed >= self.known:
            return FAIL
        return WARN if self.failed or self.warned else PASS


def history(query: Query, component: str, window: Window, now: float) -> dict[str, Any]:
    """Return the statistics of a component in a window, ready for JSON.

    Args:
        query: runs SQL.
        component: its name.
        window: of `statistics.WINDOWS`.
        now: in seconds since the epoch; the last bucket contains it.
    """
    start, end = window.bounds(now)
    sql = f"""
SELECT
    CAST(floor((extract(epoch FROM {window.column}) - %s) / %s) AS integer), {_TOTALS},
    array_to_string({HISTOGRAM_SUM}, ',')
FROM {window.table}
WHERE component = %s AND {window.column} >= to_timestamp(%s) AND {window.column} < to_timestamp(%s)
GROUP BY 1
"""  # noqa: S608 - table and column are constants
    totals = {
        row[0]: Totals(row[1], row[2], row[3], row[4], row[5], _counts(row[6]))
        for row in query(sql, (start, window.bucket, component, start, end))
    }
    whole = _sum(totals.values())
    return {
        "component": component,
        "window": window.name,
        "start": iso(start),
        "end": iso(end),
        "now": iso(now),
        "bucket_seconds": window.bucket,
        "uptime": _uptime(whole, start, now),
        **_latency(whole),
        "buckets": [
            _bucket(start + number * window.bucket, window.bucket, totals.get(number, Totals()), now)
            for number in range(window.count)
        ],
    }


def uptime(query: Query, window: Window, now: float) -> dict[str, dict[str, Any]]:
    """Return the uptime by component, for components with samples in the window; `UPTIME` defines it."""
    start, end = window.bounds(now)
    sql = f"""
SELECT component, {_TOTALS} FROM {window.table}
WHERE {window.column} >= to_timestamp(%s) AND {window.column} < to_timestamp(%s)
GROUP BY component
"""  # noqa: S608 - table and column are constants
    return {row[0]: _uptime(Totals(*row[1:6]), start, now) for row in query(sql, (start, end))}


def no_uptime() -> dict[str, Any]:
    """Return the uptime of a component without samples."""
    return _uptime(Totals(), 0, MINUTE)


def _uptime(totals: Totals, start: float, now: float) -> dict[str, Any]:
    return {
        "percent": percent(totals.passed + totals.warned, totals.known),
        "samples": totals.known,
        "failed": totals.failed,
        "coverage": _coverage(totals.minutes, now - start),
        "definition": UPTIME,
    }


def _bucket(start: int, length: int, totals: Totals, now: float) -> dict[str, Any]:
    return {
        "start": iso(start),
        "end": iso(start + length),
        "state": totals.state,
        "samples": totals.known,
        "failed": totals.failed,
        "coverage": _coverage(totals.minutes, min(length, now - start)),
        **_latency(totals),
    }


def _latency(totals: Totals) -> dict[str, float | None]:
    return {
        "p50_ms": percentile(totals.histogram, 0.5, totals.latency_max_ms),
        "p95_ms": percentile(totals.histogram, 0.95, totals.latency_max_ms),
    }


def _counts(text: str) -> tuple[int, ...]:
    """Return the counts of a histogram, as text because pg8000 parses an array letter by letter."""
    return tuple(map(int, text.split(",")))


def _coverage(minutes: int, seconds: float) -> float:
    """Return the share of the minutes so far that have data; rounded down, at most 1."""
    begun = max(1, math.floor(seconds / MINUTE) + 1 if seconds % MINUTE else round(seconds / MINUTE))
    return math.floor(DECIMALS * min(minutes, begun) / begun) / DECIMALS


def _sum(parts: Any) -> Totals:
    parts = list(parts)
    largest = [part.latency_max_ms for part in parts if part.latency_max_ms is not None]
    return Totals(
        sum(part.passed for part in parts),
        sum(part.warned for part in parts),
        sum(part.failed for part in parts),
        sum(part.minutes for part in parts),
        max(largest, default=None),
        tuple(map(sum, zip(*(part.histogram for part in parts), strict=True))),
    )
