"""When to try again what has failed."""

from __future__ import annotations

import time

FIRST, LAST = 1.0, 15.0
"""Seconds to wait after the first failure in a row, and at most."""


class Backoff:
    """Waits that double with each failure in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._again_at = float("-inf")

    def over(self) -> bool:
        """Return whether the wait is over."""
        return time.monotonic() >= self._again_at

    def failed(self) -> int:
        """Begin a longer wait, and return the number of failures in a row."""
        self._failures += 1
        self._again_at = time.monotonic() + min(FIRST * 2 ** min(self._failures - 1, 10), LAST)
        return self._failures

    def passed(self) -> bool:
        """End the failures; return whether there were any."""
        before, self._failures, self._again_at = self._failures, 0, float("-inf")
        return before > 0

    def skip(self) -> None:
        """End the wait, and keep the count of failures."""
        self._again_at = float("-inf")
