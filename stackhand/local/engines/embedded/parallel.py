"""Run what does not depend on each other at the same time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

Begun = TypeVar("Begun")
Result = TypeVar("Result")


def run(
    needs: Mapping[str, Collection[str]],
    begin: Callable[[str], Begun],
    finish: Callable[[Begun, Event], Result],
) -> Iterator[Result]:
    """Begin each name once those that it needs have finished, finish it in a thread of its own, and yield the results.

    Args:
        needs: the names, each with those that come before it.
        begin: is called here, so that an interrupt ends it at once.
        finish: gets what that has returned, and an event that is set once nobody waits any more: it has to return soon.

    Raises:
        Exception: the first that a call raised.
    """
    stop, done, waiting = Event(), set[str](), dict(needs)
    running: dict[Future[Result], str] = {}
    with ThreadPoolExecutor(max_workers=len(needs) or 1) as pool:
        try:
            while waiting or running:
                for name in [name for name in waiting if done.issuperset(waiting[name])]:
                    del waiting[name]
                    running[pool.submit(finish, begin(name), stop)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done.add(running.pop(future))
                    yield future.result()
        finally:
            stop.set()
