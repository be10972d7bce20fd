"""A circuit breaker: it keeps callers from a server that has just failed, and finds out when the server is back."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class Breaker:
    """Admits every caller while the server answers; after a failure none for a pause, and then one at a time.

    Args:
        pause: seconds without callers after a failure; up to half as many are added at random, so that processes do
            not return at the same time.
        down: whether something else knows the server to be down: then no caller is admitted.
    """

    def __init__(self, pause: float = 1.0, down: Callable[[], bool] = lambda: False) -> None:
        self._pause = pause
        self._down = down
        self._lock = threading.Lock()
        self._state = CLOSED
        self._until = 0.0

    @property
    def state(self) -> str:
        """Closed: admits all; open: admits none; half_open: one caller is trying."""
        return OPEN if self._down() else self._state

    def admits(self) -> bool:
        """Return whether the caller is admitted; an admitted caller must report the outcome."""
        if self._down():
            return False
        with self._lock:
            if self._state == CLOSED:
                return True
            if self._state == HALF_OPEN or time.monotonic() < self._until:
                return False
            self._state = HALF_OPEN
            return True

    def succeeded(self) -> None:
        """Report that the server answered."""
        with self._lock:
            self._state = CLOSED

    def failed(self) -> None:
        """Report that the server did not answer, or is useless."""
        with self._lock:
            self._state = OPEN
            self._until = time.monotonic() + self._pause * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
