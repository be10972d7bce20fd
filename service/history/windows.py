"""Windows of time that a page shows, and the buckets they are cut into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Window:
    """A kind of window.

    Args:
        name: as it stands in a query string.
        bucket: length of a bucket in seconds.
        count: number of buckets.
        table: where its figures are.
        column: the time in that table.
    """

    name: str
    bucket: int
    count: int
    table: str
    column: str

    def bounds(self, now: float) -> tuple[int, int]:
        """Return start and end in seconds since the epoch: whole buckets of UTC, the last of which now is in."""
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
        ValueError: there is none; the text says which there are.
    """
    if text not in WINDOWS:
        raise ValueError(f"The window must be one of {', '.join(WINDOWS)}, but it is {text[:50]!r}.")
    return WINDOWS[text]


def iso(seconds: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
