"""Connections of the pool are limited, reused and returned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError

from service.database import DatabaseUnavailable, PoolExhausted, QueryTimeout, connect
from service.pool import Pool
from service.settings import Settings
from tests.checkout import eventually
from tests.service.pool_kit import at_once, closing, fill, pid, raises_within, sessions


@pytest.fixture
def pool(settings: Settings) -> Iterator[Pool]:
    with closing(Pool(settings.database, size=3, statement_timeout=1.0, wait=0.3)) as found:
        yield found


@pytest.fixture
def observer(settings: Settings) -> Iterator[Any]:
    """A connection beside the pool."""
    found = connect(settings.database, 10)
    yield found
    with suppress(Exception):
        found.close()


def test_connection_is_reused(pool: Pool) -> None:
    assert len({pid(pool) for _ in range(5)}) == 1


def test_parameters_and_rows_are_passed(pool: Pool) -> None:
    assert pool.query("SELECT %s::int + 1, 'a'", (41,)) == [(42, "a")]


def test_session_has_its_limits(pool: Pool) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
    assert [pool.query(f"SHOW {name}")[0][0] for name in names] == ["1s", "2s", "10s", "stackhand"]


def test_slow_query_ends_on_the_server(pool: Pool, observer: Any) -> None:
    before = pid(pool)
    with raises_within(1.0, QueryTimeout):
        pool.query("SELECT pg_sleep(60)")
    assert observer.run(
        "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND state = 'active'"
        " AND pid <> pg_backend_pid()"
    ) == [[0]]
    assert pid(pool) == before  # the connection is as good as it was


def test_lock_wait_is_bounded(settings: Settings, observer: Any) -> None:
    observer.run("CREATE TABLE busy (n int)")
    with closing(Pool(settings.database, statement_timeout=30.0)) as pool:
        observer.run("BEGIN")
        observer.run("LOCK TABLE busy")
        with raises_within(2.0, QueryTimeout):
            pool.query("SELECT * FROM busy")
        observer.run("ROLLBACK")
        assert pool.query("SELECT * FROM busy") == []


def test_swallowed_error_prevents_commit(pool: Pool, observer: Any) -> None:
    observer.run("CREATE TABLE kept (n int PRIMARY KEY)")
    with raises_within(1, DatabaseError, "25P02"), pool.transaction() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")
        with suppress(DatabaseError):
            cursor.execute("INSERT INTO kept VALUES (1)")
    assert pool.query("SELECT n FROM kept") == []


def test_invalid_statement_is_not_an_outage(pool: Pool) -> None:
    before = pid(pool)
    with pytest.raises(DatabaseError, match="42601"):
        pool.query("SELEC 1")
    with pytest.raises(TimeoutError, match="of the caller's"), pool.transaction():
        raise TimeoutError("of the caller's")
    assert pid(pool) == before


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_exception_in_transaction_returns_the_connection(pool: Pool, observer: Any, kind: type[BaseException]) -> None:
    observer.run("CREATE TABLE kept (n int)")
    for _ in range(2 * pool.size):
        with raises_within(1, kind), pool.transaction() as cursor:
            cursor.execute("INSERT INTO kept VALUES (1)")
            raise kind
    assert pool.in_use == 0
    assert pool.query("SELECT n FROM kept") == []


def test_early_closed_generator_returns_the_connection(pool: Pool) -> None:
    def rows() -> Iterator[Any]:
        with pool.transaction() as cursor:
            cursor.execute("SELECT generate_series(1, 100)")
            yield from cursor

    for _ in range(2 * pool.size):
        reading = rows()
        assert next(reading) == [1]
        assert pool.in_use == 1
        reading.close()
        assert pool.in_use == 0


def test_interrupted_statement_does_not_leak_its_answer(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pid(pool)
    with (
        raises_within(1, KeyboardInterrupt),
        pool.transaction() as cursor,
        monkeypatch.context() as patch,
    ):
        patch.setattr(cursor.session, "handle_messages", lambda _context: (_ for _ in ()).throw(KeyboardInterrupt))
        cursor.execute("SELECT 'of another'")
    assert pool.query("SELECT 'mine'") == [("mine",)]


def test_session_in_transaction_is_not_reused(pool: Pool) -> None:
    before = pid(pool)
    with pytest.raises(DatabaseError):
        pool.query("BEGIN")  # it has no rows
    assert pid(pool) != before


def test_exhaustion_is_a_bounded_wait(pool: Pool) -> None:
    assert (pool.exhausted_at, pool.exhaustions) == (float("-inf"), 0)
    with pool.transaction(), pool.transaction(), pool.transaction():
        assert pool.in_use == 3
        began = time.monotonic()
        with raises_within(0.3, PoolExhausted):
            pool.query("SELECT 1")
        assert began < pool.exhausted_at <= time.monotonic()
        assert pool.exhaustions == 1
    assert pool.query("SELECT 1") == [(1,)]


def test_waiting_caller_gets_a_returned_connection(settings: Settings) -> None:
    with closing(Pool(settings.database, size=1, wait=20)) as pool:
        assert at_once(8, lambda: pool.query("SELECT pg_sleep(0.01)")) == []


def test_in_use_count_is_exact_under_threads(settings: Settings, observer: Any) -> None:
    with closing(Pool(settings.database, size=4, wait=30)) as pool:
        most: list[int] = []

        def work() -> None:
            for number in range(25):
                if number % 5 == 0:
                    with suppress(ZeroDivisionError), pool.transaction():
                        1 / 0  # noqa: B018
                pool.query("SELECT 1")
                most.append(pool.in_use)

        assert at_once(16, work) == []
        assert max(most) <= 4
        assert pool.in_use == 0
        assert 1 <= sessions(observer) <= 4


def test_close_ends_idle_connections_now_and_others_on_return(pool: Pool, observer: Any) -> None:
    fill(pool)
    with pool.transaction() as cursor:
        pool.close()
        eventually(lambda: sessions(observer) == 1, "the idle ones are gone", 10)
        cursor.execute("SELECT 1")
    eventually(lambda: sessions(observer) == 0, "the last one is gone", 10)
    with pytest.raises(DatabaseUnavailable, match="closed"):
        pool.query("SELECT 1")
