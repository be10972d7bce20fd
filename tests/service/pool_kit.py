"""Helpers for tests of the pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.database import DatabaseUnavailable
from service.pool import Pool

SLACK = 2.0
"""Seconds by which a loaded machine may be late."""


@contextmanager
def closing(pool: Pool) -> Iterator[Pool]:
    """Close a pool, which must have got back all it gave."""
    try:
        yield pool
        assert pool.in_use == 0
    finally:
        pool.close()


@contextmanager
def raises_within(
    seconds: float, kind: type[BaseException] = DatabaseUnavailable, match: str | None = None
) -> Iterator[None]:
    """Want an exception of a kind, and want it soon."""
    began = time.monotonic()
    with pytest.raises(kind, match=match):
        yield
    assert time.monotonic() - began < seconds + SLACK


def at_once(count: int, work: Callable[[], object]) -> list[Exception]:
    """Have so many threads do the same at the same time, and return what they raised."""
    barrier = threading.Barrier(count)
    raised: list[Exception] = []

    def run() -> None:
        barrier.wait()
        try:
            work()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


def pid(pool: Pool) -> int:
    return int(pool.query("SELECT pg_backend_pid()")[0][0])


def fill(pool: Pool) -> None:
    """Have the pool make all its connections."""
    held = threading.Barrier(pool.size)

    def take() -> None:
        with pool.transaction():
            held.wait(20)

    assert at_once(pool.size, take) == []


def sessions(observer: Any) -> int:
    """How many sessions others have in the database."""
    return int(
        observer.run(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )[0][0]
    )
