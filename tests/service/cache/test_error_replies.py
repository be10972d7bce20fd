"""A Redis-protocol server with unusable replies: foreign values, full, read-only, locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis

from service import redis_client
from service.cache import LARGEST, Cache
from service.settings import Address
from tests.service.cache.kit import Maker, cache, call_of


@pytest.mark.parametrize(
    ("said", "reason", "breaker"),
    [
        ("MISCONF Redis is configured to save RDB snapshots", "cannot_persist", "closed"),
        ("NOPERM this user has no permissions", "permission", "open"),
        ("ERR something new", "other", "open"),
    ],
)
def test_unexpected_reply_is_a_counted_miss(
    kept: Cache, monkeypatch: pytest.MonkeyPatch, said: str, reason: str, breaker: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise redis.ResponseError(said)

    monkeypatch.setattr("redis.client.Pipeline.execute", refuse)
    monkeypatch.setattr("redis.Redis.set", refuse)
    assert call_of(kept.get_or_make("k", Maker())) == 1
    assert (set(kept.errors), kept.breaker) == ({reason}, breaker)


def _poisons() -> dict[str, Callable[[redis.Redis, bytes], Any]]:
    """What others may have put where our answer should be, given what we had put there."""
    return {
        "a list": lambda store, _: store.rpush("t:k", "x"),
        "a hash": lambda store, _: store.hset("t:k", "x", "y"),
        "a stream": lambda store, _: store.xadd("t:k", {"x": "y"}),
        "other text": lambda store, _: store.set("t:k", '{"call": 9}', px=310_000),
        "no bytes": lambda store, _: store.set("t:k", "\n\n\n", px=310_000),
        "half of it": lambda store, ours: store.set("t:k", ours[: len(ours) // 2], px=310_000),
        "one byte less": lambda store, ours: store.set("t:k", ours[:-1], px=310_000),
        "another version": lambda store, ours: store.set("t:k", ours.replace(b"/1 ", b"/2 "), px=310_000),
        "another content": lambda store, ours: store.set("t:k", ours.replace(b"call", b"CALL"), px=310_000),
        "another key's": lambda store, ours: store.set("t:k", ours.replace(b"\nk\n", b"\nx\n"), px=310_000),
        "too much": lambda store, ours: store.set("t:k", ours + b"x" * 3 * LARGEST, px=310_000),
        "for ever": lambda store, ours: store.set("t:k", ours),
        "for too long": lambda store, ours: store.set("t:k", ours, px=900_000),
    }


@pytest.mark.parametrize("poison", _poisons())
def test_foreign_value_is_a_miss_and_is_overwritten(at: Address, store: redis.Redis, poison: str) -> None:
    with cache(at) as found:
        make = Maker()
        found.get_or_make("k", make)
        ours = store.get("t:k")
        store.delete("t:k")
        _poisons()[poison](store, ours)
        assert call_of(found.get_or_make("k", make)) == 2
        assert call_of(found.get_or_make("k", make)) == 2
        assert found.counts == {"miss": 2, "foreign": 1, "hit": 1}
        assert found.errors == {}
        assert found.breaker == "closed"


@contextmanager
def set_to(store: redis.Redis, **values: Any) -> Iterator[None]:
    """Configure the server for the length of a test."""
    before = {name: store.config_get(name)[name] for name in values}
    try:
        for name, value in values.items():
            store.config_set(name, value)
        yield
    finally:
        for name, value in before.items():
            store.config_set(name, value)


def test_full_server_is_a_counted_miss(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    with set_to(store, **{"maxmemory": "1", "maxmemory-policy": "noeviction"}):
        assert [call_of(kept.get_or_make("k", make)) for _ in range(2)] == [1, 2]
        assert kept.errors == {"out_of_memory": 2}
        assert kept.breaker == "closed"  # it still reads


def test_read_only_server_is_a_counted_miss(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    store.replicaof("127.0.0.1", "1")
    try:
        kept.get_or_make("k", make)
        assert set(kept.errors) == {"read_only"}
        assert kept.breaker == "closed"  # it still reads
    finally:
        store.replicaof("NO", "ONE")


def test_password_request_is_a_counted_miss(at: Address, kept: Cache) -> None:
    own = redis_client.client(at, timeout=5)
    own.config_set("requirepass", "secret")
    try:
        make = Maker()
        assert [call_of(kept.get_or_make(key, make)) for key in "abc"] == [1, 2, 3]
        assert kept.errors == {"authentication": 1}  # and nobody has asked again
        assert kept.breaker == "open"
        with cache(replace(at, password="wrong")) as wrong:
            wrong.get_or_make("k", make)
            assert wrong.errors == {"authentication": 1}
    finally:
        own.config_set("requirepass", "")
        own.close()


def test_loading_server_is_a_counted_miss(kept: Cache, monkeypatch: Any) -> None:
    def loading(*_: Any, **__: Any) -> None:
        raise redis.BusyLoadingError("Redis is loading the dataset in memory")

    monkeypatch.setattr("redis.client.Pipeline.execute", loading)
    assert call_of(kept.get_or_make("k", Maker())) == 1
    assert kept.errors == {"loading": 1}
    assert kept.breaker == "open"
