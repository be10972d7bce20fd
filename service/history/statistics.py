"""Statistics over many samples: windows and their buckets, percentages, and percentiles from a latency histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MINUTE, HOUR, DAY = 60, 3600, 86400
BOUNDS = (
    *(0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0),
    *(50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1000.0, 2000.0, 5000.0),
)
"""Upper bounds of the histogram classes, in milliseconds.

A stored histogram has one count more than there are bounds. A change of the bounds needs a migration that rewrites
the stored histograms.
"""
CLASSES = len(BOUNDS) + 1


@dataclass(frozen=True)
class Window:
    """A kind of time window.

    Args:
        name: as in a query string.
        bucket: length of a bucket in seconds.
        count: number of buckets.
        table: holds its statistics.
        column: the time in that table.
    """

    name: str
    bucket: int
    count: int
    table: str
    column: str

    def bounds(self, now: float) -> tuple[int, int]:
        """Return start and end in seconds since the epoch: whole UTC buckets, of which the last contains `now`."""
        end = (math.floor(now / self.bucket) + 1) * self.bucket
        return end - self.count * self.bucket, end


WINDOWS = {
    window.name: window
    for window in (
        Window("24h", 15 * MINUTE, 96, "history_minute", "minute"),
        Window("7d", 2 * HOUR, 84, "history_hour", "hour"),
        Window("90d", DAY, 90, "history_hour", "hour"),
    )
}


def parse_window(text: str) -> Window:
    """Return the window of this name.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    if text not in WINDOWS:
        raise ValueError(f"The window must be one of {', '.join(WINDOWS)}, but it is {text[:50]!r}.")
    return WINDOWS[text]


def percent(part: int, whole: int) -> float | None:
    """Return a share in percent; None if the whole is 0.

    The result is rounded down, so that a component that failed once was not up for 100 %. It has as many decimals as
    the number of samples can distinguish: none for 100, one for 1000, at most three.
    """
    if whole == 0:
        return None
    scale = (1, 10, 100, 1000)[min(3, max(0, round(math.log10(whole)) - 2))]
    return 100 * scale * part // whole / scale


def percentile(histogram: Sequence[int], share: float, largest: float | None = None) -> float | None:
    """Return a percentile in milliseconds; None if there are no latencies.

    Latencies count as evenly spread within a class, so that the error is less than the width of the class.

    Args:
        histogram: number of latencies in each class.
        share: 0.5 for the median, 0.95 for the 95th percentile.
        largest: the largest latency in milliseconds, if known: an upper bound of every percentile.
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
    return largest  # unreachable: the counts add up to the total


def _edges(number: int, largest: float | None) -> tuple[float, float]:
    low = BOUNDS[number - 1] if number else 0.0
    high = BOUNDS[number] if number < len(BOUNDS) else max(largest or 0.0, low)
    return low, high if largest is None else max(low, min(high, largest))
