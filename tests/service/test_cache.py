"""The cache against a Redis-protocol server that is well, gone, hung, full, or used by others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from service import redis_client
from service.answer import Answer
from service.cache import KEPT_HERE, LARGEST, AnswerDelayed, Cache
from service.database import DatabaseUnavailable
from service.settings import Address
from stackhand.engines.embedded.servers import redis as redis_server
from tests.checkout import eventually
from tests.proxy import Proxy
from tests.service.conftest import Server
from tests.service.pools import at_once

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


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Server, Address]]:
    """A Redis-protocol server alone: with a PostgreSQL beside it these tests would be too slow for mutants."""
    folder = Path(tempfile.mkdtemp(prefix="sh-cache-"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = Server([str(redis_server.binary()), "--port", str(port), "--save", "", "--dir", str(folder)], None)
    found.start()
    yield found, Address("127.0.0.1", port, "", "", "0")
    found.stop()
    shutil.rmtree(folder)


@pytest.fixture
def at(server: tuple[Server, Address]) -> Address:
    """Where the server is."""
    return server[1]


@pytest.fixture
def store(at: Address) -> Iterator[redis.Redis]:
    """A client of the test's own, and an empty server."""
    found = redis_client.client(at, timeout=5)
    eventually(lambda: _answers(found), "the Redis-protocol server answers", 20)
    found.flushall()
    yield found
    found.close()


@contextmanager
def cache(address: Address, **given: Any) -> Iterator[Cache]:
    """A cache that has all the time it needs, for the machine may be slow for a moment."""
    client = redis_client.client(address, timeout=20)
    try:
        yield Cache(client, **{"prefix": "t", "ttl": 60.0, "pause": 0.2, "within": 20.0, **given})
    finally:
        client.close()


@pytest.fixture
def kept(at: Address, store: redis.Redis) -> Iterator[Cache]:
    with cache(at) as found:
        yield found


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def call_of(answer: Answer) -> int:
    return int(json.loads(answer.body)["call"])


def expire(store: redis.Redis, key: str = "t:k") -> None:
    """Have an answer past its TTL, as far as Redis says."""
    assert store.pexpire(key, 250_000)


def test_an_answer_is_made_once_and_given_again(kept: Cache, store: redis.Redis) -> None:
    make = Maker(word="läuft")
    first, second = kept.get_or_make("k", make), kept.get_or_make("k", make)
    assert (first.body, first.etag) == (second.body, second.etag)
    assert first.body == '{"call":1,"word":"läuft"}'.encode()
    assert not second.stale
    assert 0 <= second.age < 60
    assert kept.counts == {"miss": 1, "hit": 1}
    assert store.keys() == [b"t:k"]


def test_another_process_gets_it_too(at: Address, kept: Cache) -> None:
    first = kept.get_or_make("k", Maker())
    with cache(at) as another:
        assert another.get_or_make("k", Maker(word="of another")) == first


def test_the_etag_is_of_the_content(kept: Cache) -> None:
    same, other = kept.get_or_make("a", Maker()), kept.get_or_make("b", Maker())
    assert same.etag == other.etag
    assert kept.get_or_make("c", Maker(more=1)).etag != same.etag
    assert same.etag[0] == same.etag[-1] == '"'


def test_an_answer_lives_as_long_as_its_ttl_less_jitter(at: Address, store: redis.Redis) -> None:
    with cache(at, ttl=100.0, jitter=0.2, stale_for=300.0) as found:
        for number in range(50):
            found.get_or_make(str(number), Maker())
    lives = [store.pttl(f"t:{number}") / 1000 - 300 for number in range(50)]
    assert 75 < min(lives) < max(lives) <= 100
    assert max(lives) - min(lives) > 5


def test_an_expired_answer_is_made_again(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    assert call_of(kept.get_or_make("k", make)) == 2


def test_an_invalidated_answer_is_made_again_in_all_processes(at: Address, kept: Cache) -> None:
    make = Maker()
    with cache(at) as another:
        for one in (kept, another):
            one.get_or_make("k", make)
        kept.invalidate("k")
        assert [call_of(one.get_or_make("k", make)) for one in (another, kept)] == [2, 2]


def test_what_was_being_made_when_it_was_invalidated_is_not_kept(kept: Cache, store: redis.Redis) -> None:
    def make() -> dict[str, Any]:
        kept.invalidate("k")
        return {"call": "of before"}

    kept.get_or_make("k", make)
    assert store.keys() == []
    assert call_of(kept.get_or_make("k", Maker())) == 1


def test_what_was_invalidated_is_not_given_by_a_process_that_cannot_ask(
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


def test_what_was_invalidated_while_it_was_kept_is_removed(
    kept: Cache, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = redis.Redis.set

    def slowly(*given: Any, **named: Any) -> Any:
        kept.invalidate("k")
        return keep(*given, **named)

    monkeypatch.setattr(redis.Redis, "set", slowly)
    kept.get_or_make("k", Maker())
    assert store.keys() == []


def test_only_the_last_answers_are_known_here(server: tuple[Server, Address], kept: Cache, store: redis.Redis) -> None:
    for number in range(KEPT_HERE + 1):
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


def test_too_few_connections_are_no_fault_of_the_server(at: Address, store: redis.Redis) -> None:
    client = redis_client.client(at, timeout=1, connections=1)
    held = client.connection_pool.get_connection()
    found = Cache(client, prefix="t", ttl=60)
    try:
        assert call_of(found.get_or_make("k", Maker())) == 1
        assert (set(found.errors), found.breaker) == ({"busy"}, "closed")
    finally:
        client.connection_pool.release(held)
        client.close()


@pytest.mark.parametrize(
    ("said", "reason", "breaker"),
    [
        ("MISCONF Redis is configured to save RDB snapshots", "cannot_persist", "closed"),
        ("NOPERM this user has no permissions", "permission", "open"),
        ("ERR something new", "other", "open"),
    ],
)
def test_what_the_server_may_say_beside_is_a_miss_with_a_count_of_its_own(
    kept: Cache, monkeypatch: pytest.MonkeyPatch, said: str, reason: str, breaker: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise redis.ResponseError(said)

    monkeypatch.setattr("redis.client.Pipeline.execute", refuse)
    monkeypatch.setattr("redis.Redis.set", refuse)
    assert call_of(kept.get_or_make("k", Maker())) == 1
    assert (set(kept.errors), kept.breaker) == ({reason}, breaker)


def test_a_hundred_callers_of_an_expired_key_cost_one_make(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    answers: list[Answer] = []

    def slow() -> dict[str, Any]:
        eventually(lambda: kept.counts.get("joined", 0) == 99, "all others wait", 20)
        return make()

    assert at_once(100, lambda: answers.append(kept.get_or_make("k", slow))) == []
    assert {call_of(answer) for answer in answers} == {2}
    assert make.calls == 2
    assert kept.counts["joined"] == 99


def test_all_who_wait_get_the_same_exception_and_it_is_not_kept(kept: Cache) -> None:
    error = ValueError("broken")

    def broken() -> dict[str, Any]:
        eventually(lambda: kept.counts.get("joined", 0) == 19, "all others wait", 20)
        raise error

    raised = at_once(20, lambda: kept.get_or_make("k", broken))
    assert raised == [error] * 20
    assert call_of(kept.get_or_make("k", Maker())) == 1


def test_who_waits_is_not_ended_by_what_ends_the_maker(kept: Cache) -> None:
    def ended() -> dict[str, Any]:
        eventually(lambda: kept.counts.get("joined", 0) == 1, "the other waits", 20)
        raise SystemExit

    ends: list[BaseException] = []

    def call() -> None:
        try:
            kept.get_or_make("k", ended)
        except BaseException as error:
            ends.append(error)

    at_once(2, call)
    assert sorted(type(error).__name__ for error in ends) == ["AnswerDelayed", "SystemExit"]


@pytest.mark.parametrize("known", [False, True], ids=["nothing known", "an old one known"])
def test_waiting_for_another_is_bounded(at: Address, store: redis.Redis, known: bool) -> None:
    with cache(at, wait=0.2) as found:
        if known:
            found.get_or_make("k", Maker())
            expire(store)
        release, outcome = threading.Event(), []

        def slow() -> dict[str, Any]:
            release.wait(20)
            return {"call": 7}

        leader = threading.Thread(target=lambda: outcome.append(found.get_or_make("k", slow)))
        leader.start()
        eventually(lambda: found.counts["miss"] == 1 + known, "the first makes it", 20)
        began = time.monotonic()
        if known:
            assert found.get_or_make("k", slow).stale
        else:
            with pytest.raises(AnswerDelayed):
                found.get_or_make("k", slow)
        assert 0.2 <= time.monotonic() - began < 0.2 + SLACK
        release.set()
        leader.join(20)
        assert call_of(outcome[0]) == 7
        assert found.counts["delayed"] == 1


def test_the_last_known_answer_is_given_as_stale_while_postgresql_is_down(
    at: Address, kept: Cache, store: redis.Redis
) -> None:
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


def test_an_answer_that_is_too_old_is_not_given_even_as_stale(at: Address, store: redis.Redis) -> None:
    make = Maker()
    with cache(at, ttl=0.05, stale_for=0.05) as found:
        answer = found.get_or_make("k", make)
        eventually(lambda: answer.age > 0.2, "it is too old", 10)
        make.error = DatabaseUnavailable("down")
        with pytest.raises(DatabaseUnavailable):
            found.get_or_make("k", make)


def test_other_errors_are_not_hidden_by_an_old_answer(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    expire(store)
    make.error = KeyError("a defect of ours")
    with pytest.raises(KeyError):
        kept.get_or_make("k", make)


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
def test_a_value_that_is_not_ours_is_a_miss_and_is_overwritten(at: Address, store: redis.Redis, poison: str) -> None:
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


@pytest.mark.parametrize(("size", "calls"), [(LARGEST, [1, 1]), (LARGEST + 1, [1, 2])])
def test_an_answer_of_any_size_is_given_and_a_large_one_not_kept(
    kept: Cache, store: redis.Redis, size: int, calls: list[int]
) -> None:
    make = Maker(text="x" * (size - len('{"call":1,"text":""}')))
    answers = [kept.get_or_make("k", make) for _ in range(2)]
    assert [len(answer.body) for answer in answers] == [size] * 2
    assert [call_of(answer) for answer in answers] == calls
    assert len(store.keys()) == (calls == [1, 1])
    assert kept.counts["skipped"] == (0 if calls == [1, 1] else 2)


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


def test_a_full_server_is_a_miss_with_a_count_of_its_own(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    with set_to(store, **{"maxmemory": "1", "maxmemory-policy": "noeviction"}):
        assert [call_of(kept.get_or_make("k", make)) for _ in range(2)] == [1, 2]
        assert kept.errors == {"out_of_memory": 2}
        assert kept.breaker == "closed"  # it still reads


def test_a_server_that_takes_no_writes_is_a_miss_with_a_count_of_its_own(kept: Cache, store: redis.Redis) -> None:
    make = Maker()
    store.replicaof("127.0.0.1", "1")
    try:
        kept.get_or_make("k", make)
        assert set(kept.errors) == {"read_only"}
        assert kept.breaker == "closed"  # it still reads
    finally:
        store.replicaof("NO", "ONE")


def test_a_server_that_wants_a_password_is_a_miss_with_a_count_of_its_own(at: Address, kept: Cache) -> None:
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


def test_a_server_that_is_loading_is_a_miss_with_a_count_of_its_own(kept: Cache, monkeypatch: Any) -> None:
    def loading(*_: Any, **__: Any) -> None:
        raise redis.BusyLoadingError("Redis is loading the dataset in memory")

    monkeypatch.setattr("redis.client.Pipeline.execute", loading)
    assert call_of(kept.get_or_make("k", Maker())) == 1
    assert kept.errors == {"loading": 1}
    assert kept.breaker == "open"


def test_a_server_that_is_gone_costs_nothing_and_the_last_answers_are_known_here(
    server: tuple[Server, Address], kept: Cache, store: redis.Redis
) -> None:
    make = Maker()
    kept.get_or_make("k", make)
    server[0].stop()
    try:
        answers = [kept.get_or_make("k", make) for _ in range(200)]
        assert {(call_of(answer), answer.stale) for answer in answers} == {(1, False)}
        assert make.calls == 1
        assert kept.counts["local"] == 200
        assert call_of(kept.get_or_make("another", make)) == 2
        assert call_of(kept.get_or_make("another", make)) == 2
        assert kept.breaker in {"open", "trying"}
    finally:
        server[0].start()
    eventually(lambda: kept.get_or_make("k", make) and kept.breaker == "closed", "it is asked again", 20)


def test_a_server_that_hangs_costs_one_timeout_and_not_one_for_each(
    server: tuple[Server, Address], at: Address, store: redis.Redis
) -> None:
    process = server[0].process
    assert process is not None
    with cache(at, pause=30.0, within=0.25) as found:
        found.get_or_make("k", Maker())
        os.kill(process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for number in range(100):
                found.get_or_make(str(number), Maker())
            assert time.monotonic() - began < 0.25 + SLACK
            assert found.errors == {"timeout": 1}
        finally:
            os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("mode", ["black-hole", "drip", "cut"])
def test_a_bad_network_to_the_server_is_a_miss_in_bounded_time(at: Address, store: redis.Redis, mode: str) -> None:
    with Proxy("127.0.0.1", at.port) as proxy, cache(replace(at, port=proxy.port), within=0.25) as found:
        make = Maker(text="x" * 1000)
        found.get_or_make("k", make)
        proxy.mode = mode
        began = time.monotonic()
        assert at_once(8, lambda: found.get_or_make(str(threading.get_ident()), make)) == []
        assert time.monotonic() - began < 0.5 + SLACK
        proxy.mode = "pass"
        eventually(lambda: found.get_or_make("k", make) and found.breaker == "closed", "it is asked again", 20)


def test_after_a_failure_one_caller_at_a_time_tries(at: Address, store: redis.Redis) -> None:
    with (
        Proxy("127.0.0.1", at.port) as proxy,
        cache(replace(at, port=proxy.port), pause=0.05, within=0.25) as found,
    ):
        proxy.mode = "black-hole"
        found.get_or_make("k", Maker())
        assert found.breaker == "open"
        over = time.monotonic() + 0.1
        eventually(lambda: time.monotonic() > over, "the pause is over", 5)
        assert at_once(20, lambda: found.get_or_make(str(threading.get_ident()), Maker())) == []
        assert found.errors == {"timeout": 2}


def test_a_server_known_to_be_down_is_not_asked(at: Address, store: redis.Redis) -> None:
    down = True
    with cache(at, down=lambda: down) as found:
        found.get_or_make("k", Maker())
        assert (found.breaker, found.errors, store.keys()) == ("open", {}, [])
        down = False
        found.get_or_make("other", Maker())
        assert (found.breaker, store.keys()) == ("closed", [b"t:other"])
