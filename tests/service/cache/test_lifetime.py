"""Answers are cached, expire, and are invalidated, with a healthy Redis-protocol server."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from service.cache import LARGEST, LOCAL_COPIES, Cache
from service.database import DatabaseUnavailable
from service.settings import Address
from tests.checkout import eventually
from tests.service.cache.kit import Maker, cache, call_of, expire
from tests.service.conftest import Server


def test_answer_is_made_once_and_reused(kept: Cache, store: redis.Redis) -> None:
    make = Maker(word="läuft")
    first, second = kept.get_or_make("k", make), kept.get_or_make("k", make)
    assert (first.body, first.etag) == (second.body, second.etag)
    assert first.body == '{"call":1,"word":"läuft"}'.encode()
    assert not second.stale
    assert 0 <= time.time() - second.made_at < 60
    assert kept.counts == {"miss": 1, "hit": 1}
    assert store.keys() == [b"t:k"]


def test_answer_is_shared_between_processes(at: Address, kept: Cache) -> None:
    first = kept.get_or_make("k", Maker())
    with cache(at) as another:
        assert another.get_or_make("k", Maker(word="of another")) == first


def test_etag_follows_from_content(kept: Cache) -> None:
    same, other = kept.get_or_make("a", Maker()), kept.get_or_make("b", Maker())
    assert same.etag == other.etag
    assert kept.get_or_make("c", Maker(more=1)).etag != same.etag
    assert same.etag[0] == same.etag[-1] == '"'


def test_answer_lives_for_ttl_less_jitter(at: Address, store: redis.Redis) -> None:
    with cache(at, ttl=100.0, jitter=0.2, stale_for=300.0) as found:
        for number in range(50):
            found.get_or_make(str(number), Maker())
    lives = [store.pttl(f"t:{number}") / 1000 - 300 for number in range(50)]
    assert 75 < min(lives) < max(lives) <= 100
    assert max(lives) - min(lives) > 5


def test_expired_answer_is_remade(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    assert call_of(kept.get_or_make("k", make)) == 2


def test_invalidated_answer_is_remade_in_all_processes(at: Address, kept: Cache) -> None:
    make = Maker()
    with cache(at) as another:
        for one in (kept, another):
            one.get_or_make("k", make)
        kept.invalidate("k")
        assert [call_of(one.get_or_make("k", make)) for one in (another, kept)] == [2, 2]


def test_answer_invalidated_while_made_is_not_cached(kept: Cache, store: redis.Redis) -> None:
    def make() -> dict[str, Any]:
        kept.invalidate("k")
        return {"call": "of before"}

    kept.get_or_make("k", make)
    assert store.keys() == []
    assert call_of(kept.get_or_make("k", Maker())) == 1


def test_invalidated_answer_is_not_served_from_local_copy(
    server: tuple[Server, Address], kept: Cache, store: redis.Redis
) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    server[0].stop()
    try:
        kept.invalidate("k")
        make.error = DatabaseUnavailable("down")
        assert kept.get_or_make("k", make).stale  # but it is the last known one
        make.error = None
        assert call_of(kept.get_or_make("k", make)) == 3
        assert kept.counts == {"miss": 3, "stale": 1}
    finally:
        server[0].start()


def test_answer_invalidated_while_stored_is_removed(
    kept: Cache, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = redis.Redis.set

    def slowly(*given: Any, **named: Any) -> Any:
        kept.invalidate("k")
        return keep(*given, **named)

    monkeypatch.setattr(redis.Redis, "set", slowly)
    kept.get_or_make("k", Maker())
    assert store.keys() == []


def test_local_copies_are_bounded(server: tuple[Server, Address], kept: Cache, store: redis.Redis) -> None:
    for number in range(LOCAL_COPIES + 1):
        kept.get_or_make(str(number), Maker())
    make = Maker(error="of Redis")
    server[0].stop()
    try:
        kept.get_or_make("1", make)
        assert (make.calls, kept.counts["local"]) == (0, 1)
        kept.get_or_make("0", make)  # which is the oldest
        assert (make.calls, kept.counts["local"]) == (1, 1)
    finally:
        server[0].start()


def test_last_known_answer_is_stale_while_postgresql_is_down(at: Address, kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    make.error = DatabaseUnavailable("down")
    answer = kept.get_or_make("k", make)
    assert (call_of(answer), answer.stale) == (1, True)
    with cache(at) as just_started:  # which knows it from Redis alone
        assert just_started.get_or_make("k", make).stale
    store.flushall()
    assert kept.get_or_make("k", make).stale  # which this process knows
    make.error = None
    answer = kept.get_or_make("k", make)
    assert (call_of(answer), answer.stale) == (5, False)


def test_answer_beyond_stale_limit_is_not_served(at: Address, store: redis.Redis) -> None:
    make = Maker()
    with cache(at, ttl=0.05, stale_for=0.05) as found:
        answer = found.get_or_make("k", make)
        eventually(lambda: time.time() - answer.made_at > 0.2, "it is too old", 10)
        make.error = DatabaseUnavailable("down")
        with pytest.raises(DatabaseUnavailable):
            found.get_or_make("k", make)


def test_other_errors_are_raised_despite_old_answer(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    make.error = KeyError("a defect of ours")
    with pytest.raises(KeyError):
        kept.get_or_make("k", make)


@pytest.mark.parametrize(("size", "calls"), [(LARGEST, [1, 1]), (LARGEST + 1, [1, 2])])
def test_large_answer_is_returned_but_not_cached(kept: Cache, store: redis.Redis, size: int, calls: list[int]) -> None:
    make = Maker(text="x" * (size - len('{"call":1,"text":""}')))
    answers = [kept.get_or_make("k", make) for _ in range(2)]
    assert [len(answer.body) for answer in answers] == [size] * 2
    assert [call_of(answer) for answer in answers] == calls
    assert len(store.keys()) == (calls == [1, 1])
    assert kept.counts["skipped"] == (0 if calls == [1, 1] else 2)
