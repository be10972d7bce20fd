"""Keeps callers from a server that has just failed, and finds out whether it is back."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

CLOSED, OPEN, TRYING = "closed", "open", "trying"


class Breaker:
    """Lets everybody through while the server answers; after a failure nobody, and then one at a time.

    Args:
        pause: seconds for which nobody is let through after a failure, up to half as many more by chance, so that
            not all processes come back at once.
        down: whether something else knows the server to be down: then nobody is let through.
    """

    def __init__(self, pause: float = 1.0, down: Callable[[], bool] = lambda: False) -> None:
        self._pause = pause
        self._down = down
        self._lock = threading.Lock()
        self._state = CLOSED
        self._until = 0.0

    @property
    def state(self) -> str:
        """Closed: everybody is let through; open: nobody is; trying: one is on the way."""
        return OPEN if self._down() else self._state

    def admits(self) -> bool:
        """Return whether the caller may go; who may has to say afterwards how it went."""
        if self._down():
            return False
        with self._lock:
            if self._state == CLOSED:
                return True
            if self._state == TRYING or time.monotonic() < self._until:
                return False
            self._state = TRYING
            return True

    def succeeded(self) -> None:
        """The server has answered."""
        with self._lock:
            self._state = CLOSED

    def failed(self) -> None:
        """The server has not answered, or is of no use."""
        with self._lock:
            self._state = OPEN
            self._until = time.monotonic() + self._pause * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
