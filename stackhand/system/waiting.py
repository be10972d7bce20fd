"""Wait: for a condition, or for functions that run side by side, with one deadline for all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def polls(timeout: float, interval: float) -> Iterator[None]:
    """Yield at once, and after each interval until the timeout has passed: for a condition that ends the loop.

    Args:
        timeout: seconds; the last poll is the first after them.
        interval: seconds between two polls.
    """
    deadline = time.monotonic() + timeout
    yield
    while time.monotonic() < deadline:
        time.sleep(interval)
        yield


def until(condition: Callable[[], bool], timeout: float, interval: float) -> bool:
    """Wait until a condition holds, and return whether it does; see `polls`."""
    return any(condition() for _ in polls(timeout, interval))


def gather(calls: Mapping[str, Callable[[], Result]], within: float) -> dict[str, Result]:
    """Return what the calls returned, in their order; those without an answer within so many seconds are missing.

    Their threads are left behind and do not keep the program from ending.

    Raises:
        Exception: the first that one of the calls raised in time.
    """
    results: dict[str, Result] = {}
    errors: dict[str, Exception] = {}

    def run(name: str, call: Callable[[], Result]) -> None:
        try:
            results[name] = call()
        except Exception as error:
            errors[name] = error

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in calls.items()]
    deadline = time.monotonic() + within
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for name in calls:
        if name in errors:
            raise errors[name]
    finished = dict(results)
    return {name: finished[name] for name in calls if name in finished}
