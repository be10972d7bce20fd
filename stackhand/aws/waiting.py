"""Waiting in Ansible's worker process: with a clock that tests can turn, and an end when somebody interrupts us."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - an order, not a fault
    """SIGINT or SIGTERM came, or the playbook is gone: stop waiting, and say what is left."""


class Clock:
    """Time as a rollout sees it."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self.interrupted = False

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Interrupted: we are to stop; told within a tenth of a second.
        """
        until = time.monotonic() + seconds
        self.check()
        while (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, 0.1))
            self.check()

    def check(self) -> None:
        """Go on, unless somebody wants us to stop.

        Raises:
            Interrupted: somebody does.
        """
        if self.interrupted or os.getppid() != self._parent:
            raise Interrupted

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note signals instead of dying of them: Ansible passes on to its worker what it gets itself."""

        def note(_number: int, _frame: FrameType | None) -> None:
            self.interrupted = True

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


Say = Callable[[str], None]
