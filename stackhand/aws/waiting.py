"""Waiting in a step of a playbook: with a clock that tests can turn, and an end when somebody interrupts us."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from stackhand.aws.errors import message_of, transient
from stackhand.system import program


class Interrupted(Exception):  # noqa: N818 - an order, not a fault
    """SIGINT or SIGTERM came, or the playbook is gone: stop waiting, and say what is left."""


class Clock:
    """Time as a rollout sees it.

    Args:
        parent: the process whose end is an order to stop, which is our parent; 0 for none.
    """

    def __init__(self, parent: int | None = None) -> None:
        self._parent = os.getppid() if parent is None else parent
        self.interrupted = False

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            Interrupted: we are to stop; raised within a tenth of a second.
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
        if self.interrupted or (self._parent and os.getppid() != self._parent):
            raise Interrupted

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note signals instead of dying of them: Ansible passes on to its worker what it gets itself."""

        def note(_number: int, _frame: object) -> None:
            self.interrupted = True

        with program.handling(note):
            yield


Notify = Callable[[str], None]


SOONEST, PART = 0.25, 0.1
"""Seconds before a second look, and the part of what was waited so far before a later one."""


def pause(waited: float, longest: float) -> float:
    """Return the seconds before the next look, `longest` at most, after so many seconds since the first one.

    What is done soon is seen soon, and what takes minutes is not asked for.
    """
    return min(longest, max(SOONEST, waited * PART))


FIRST, LONGEST = 1.0, 30.0
"""Seconds before the second attempt, and at most before any: boto3 has tried four times within each."""
Answer = TypeVar("Answer")


def delays() -> Iterator[float]:
    """Yield the seconds before each further attempt."""
    seconds = FIRST
    while True:
        yield seconds
        seconds = min(seconds * 2, LONGEST)


@dataclass(frozen=True)
class Retry:
    """Repeats calls that may be made twice: reads, and writes that do the same again.

    Args:
        timeout: seconds after which the last error is raised.
        sleep: how to wait; when that is interrupted, the last error is raised.
        notify: called with each further attempt.
        now: the time in seconds.
    """

    timeout: float
    sleep: Callable[[float], None] = time.sleep
    notify: Callable[[str], None] = lambda _text: None
    now: Callable[[], float] = time.monotonic

    def __call__(self, call: Callable[[], Answer]) -> Answer:
        """Return the answer to a call, or raise its last error."""
        end = self.now() + self.timeout
        for seconds in delays():
            try:
                return call()
            except Exception as error:
                if not transient(error) or self.now() + seconds > end:
                    raise
                self.notify(f"AWS does not answer, trying again: {message_of(error)}")
                try:
                    self.sleep(seconds)
                except Interrupted:
                    raise error from None
        raise AssertionError  # the delays never end


ONCE = Retry(0.0)
"""Makes a call once."""
