"""Helpers for tests of the cache: a countable maker, and a cache with generous timeouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from service import redis_client
from service.answer import Answer
from service.cache import Cache
from service.settings import Address

SLACK = 2.0


class Maker:
    """Counts how often an answer is made."""

    def __init__(self, **content: Any) -> None:
        self.content = content
        self.calls = 0
        self.error: BaseException | None = None

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        if self.error:
            raise self.error
        return {"call": self.calls, **self.content}


@contextmanager
def cache(address: Address, **given: Any) -> Iterator[Cache]:
    """A cache that has all the time it needs, for the machine may be slow for a moment."""
    client = redis_client.client(address, timeout=20)
    try:
        yield Cache(client, **{"prefix": "t", "ttl": 60.0, "pause": 0.2, "timeout": 20.0, **given})
    finally:
        client.close()


def call_of(answer: Answer) -> int:
    return int(json.loads(answer.body)["call"])


def expire(store: redis.Redis, key: str = "t:k") -> None:
    """Have an answer past its TTL, as far as Redis says."""
    assert store.pexpire(key, 250_000)
