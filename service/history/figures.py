"""Figures of many samples: counts, shares, and a histogram of latencies from which percentiles are read."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

BOUNDS = (
    *(0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0),
    *(50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1000.0, 2000.0, 5000.0),
)
"""Latencies in milliseconds at which a class of the histogram ends and the next begins.

Stored histograms have one count more than there are bounds. Whoever changes the bounds has to rewrite those by a
migration.
"""
CLASSES = len(BOUNDS) + 1


def classify(latency_ms: float) -> int:
    """Return the class of a latency: 0 is below the first bound; as width_bucket does in PostgreSQL."""
    return bisect_right(BOUNDS, latency_ms)


def percent(part: int, whole: int) -> float | None:
    """Return a share in percent, or None of nothing.

    It is rounded down, so that what failed once was not up for 100 %, and has as many decimals as so many samples can
    tell apart: none of 100, one of 1000, three at most.
    """
    if whole == 0:
        return None
    scale = (1, 10, 100, 1000)[min(3, max(0, round(math.log10(whole)) - 2))]
    return 100 * scale * part // whole / scale


def percentile(histogram: Sequence[int], share: float, largest: float | None = None) -> float | None:
    """Return a percentile in milliseconds, or None when there are no latencies.

    Within a class the latencies count as evenly spread, so that the error is less than the width of the class.

    Args:
        histogram: how many latencies are in each class.
        share: 0.5 for the median, 0.95 for the 95th percentile.
        largest: the largest latency in milliseconds, where it is known: no percentile is above it.
    """
    total = sum(histogram)
    if total == 0:
        return None
    wanted, below = share * total, 0
    for number, count in enumerate(histogram):
        if count and below + count >= wanted:
            low, high = _edges(number, largest)
            return round(min(low + (high - low) * (wanted - below) / count, high), 2)
        below += count
    return largest  # not reached: the counts add up to the total


def _edges(number: int, largest: float | None) -> tuple[float, float]:
    low = BOUNDS[number - 1] if number else 0.0
    high = BOUNDS[number] if number < len(BOUNDS) else max(largest or 0.0, low)
    return low, high if largest is None else max(low, min(high, largest))
