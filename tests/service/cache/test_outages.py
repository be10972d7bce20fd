"""A Redis-protocol server that is down, hangs, or is behind a bad network: a cheap miss each time."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import redis

from service import redis_client
from service.cache import Cache
from service.settings import Address
from tests.checkout import eventually
from tests.proxy import Proxy
from tests.service.cache.kit import SLACK, Maker, cache, call_of
from tests.service.conftest import Server
from tests.service.pool_kit import at_once


def test_exhausted_client_connections_leave_breaker_closed(at: Address, store: redis.Redis) -> None:
    client = redis_client.client(at, timeout=1, connections=1)
    held = client.connection_pool.get_connection()
    found = Cache(client, prefix="t", ttl=60)
    try:
        assert call_of(found.get_or_make("k", Maker())) == 1
        assert (set(found.errors), found.breaker) == ({"busy"}, "closed")
    finally:
        client.connection_pool.release(held)
        client.close()


def test_unreachable_server_costs_nothing_and_local_copies_serve(
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
        assert kept.breaker in {"open", "half_open"}
    finally:
        server[0].start()
    eventually(lambda: kept.get_or_make("k", make) and kept.breaker == "closed", "it is asked again", 20)


def test_hung_server_costs_one_timeout_in_total(
    server: tuple[Server, Address], at: Address, store: redis.Redis
) -> None:
    process = server[0].process
    assert process is not None
    with cache(at, pause=30.0, timeout=0.25) as found:
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
def test_bad_network_is_a_miss_in_bounded_time(at: Address, store: redis.Redis, mode: str) -> None:
    with Proxy("127.0.0.1", at.port) as proxy, cache(replace(at, port=proxy.port), timeout=0.25) as found:
        make = Maker(text="x" * 1000)
        found.get_or_make("k", make)
        proxy.mode = mode
        began = time.monotonic()
        assert at_once(8, lambda: found.get_or_make(str(threading.get_ident()), make)) == []
        assert time.monotonic() - began < 0.5 + SLACK
        proxy.mode = "pass"
        eventually(lambda: found.get_or_make("k", make) and found.breaker == "closed", "it is asked again", 20)


def test_breaker_admits_one_caller_after_failure(at: Address, store: redis.Redis) -> None:
    with (
        Proxy("127.0.0.1", at.port) as proxy,
        cache(replace(at, port=proxy.port), pause=0.05, timeout=0.25) as found,
    ):
        proxy.mode = "black-hole"
        found.get_or_make("k", Maker())
        assert found.breaker == "open"
        over = time.monotonic() + 0.1
        eventually(lambda: time.monotonic() > over, "the pause is over", 5)
        assert at_once(20, lambda: found.get_or_make(str(threading.get_ident()), Maker())) == []
        assert found.errors == {"timeout": 2}


def test_cache_skips_server_known_to_be_down(at: Address, store: redis.Redis) -> None:
    down = True
    with cache(at, down=lambda: down) as found:
        found.get_or_make("k", Maker())
        assert (found.breaker, found.errors, store.keys()) == ("open", {}, [])
        down = False
        found.get_or_make("other", Maker())
        assert (found.breaker, store.keys()) == ("closed", [b"t:other"])


def test_client_never_retries_by_itself() -> None:
    tried = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            nonlocal tried
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    tried += 1

        thread = threading.Thread(target=hang_up)
        thread.start()
        client = redis_client.client(Address("127.0.0.1", listener.getsockname()[1], "", "", "0"), timeout=5)
        for command in (client.ping, client.pipeline(transaction=False).ping().execute):
            with pytest.raises(redis.ConnectionError):
                command()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        client.close()
    assert tried == 2
