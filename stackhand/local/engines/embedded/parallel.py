"""Run what does not depend on each other at the same time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

Result = TypeVar("Result")


def run(needs: Mapping[str, Collection[str]], call: Callable[[str, Event], Result]) -> Iterator[Result]:
    """Call a function for each name, as soon as it has returned for those that the name needs; yield what it returns.

    Args:
        needs: the names, each with those that come before it.
        call: gets a name, and an event that is set once nobody waits any more: it has to return soon then.

    Raises:
        Exception: the first that a call raised.
    """
    stop, done, waiting = Event(), set[str](), dict(needs)
    running: dict[Future[Result], str] = {}
    with ThreadPoolExecutor(max_workers=len(needs) or 1) as pool:
        try:
            while waiting or running:
                for name in [each for each in waiting if done.issuperset(waiting[each])]:
                    del waiting[name]
                    running[pool.submit(call, name, stop)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done.add(running.pop(future))
                    yield future.result()
        finally:
            stop.set()
