"""Calls AWS again, with back-off, while it is only busy or cannot be reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from stackhand.aws.errors import message_of, transient
from stackhand.aws.waiting import Interrupted

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
        say: told of each further attempt.
        now: the time in seconds.
    """

    timeout: float
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = lambda _text: None
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
                self.say(f"AWS does not answer, trying again: {message_of(error)}")
                try:
                    self.sleep(seconds)
                except Interrupted:
                    raise error from None
        raise AssertionError  # the delays never end


ONCE = Retry(0.0)
"""Makes a call once."""
