"""The pool with a PostgreSQL that is killed, restarted, stopped, or behind a bad network."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from service.database import DatabaseUnavailable, connect, connect_patiently
from service.pool import CONNECT_TIMEOUT, MARGIN, Pool
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.proxy import Proxy
from tests.service.conftest import Server
from tests.service.pool_kit import SLACK, at_once, closing, fill, pid, raises_within, sessions


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


@contextmanager
def behind(proxy: Proxy, settings: Settings, **given: Any) -> Iterator[Pool]:
    given = {"size": 3, "statement_timeout": 0.5, "wait": 0.3, **given}
    with closing(Pool(replace(settings.database, port=proxy.port), **given)) as found:
        yield found


def test_query_survives_killed_idle_backends(pool: Pool, observer: Any) -> None:
    fill(pool)
    killed = observer.run(
        "SELECT pg_terminate_backend(pid, 10000), pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert len(killed) == 3
    assert at_once(3, lambda: pool.query("SELECT pg_sleep(0.05)")) == []
    with pool.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] not in {row[1] for row in killed}


def test_query_works_after_server_restart(
    pool: Pool, servers: dict[str, tuple[Server, Address]], settings: Settings
) -> None:
    fill(pool)
    server = servers["postgres"][0]
    server.stop()
    try:
        with raises_within(CONNECT_TIMEOUT):
            pool.query("SELECT 1")
    finally:
        server.start()
        connect_patiently(settings.database, 20).close()
    assert at_once(3, lambda: [pool.query("SELECT 1") for _ in range(5)]) == []


def test_read_is_retried_after_killed_backend(pool: Pool, observer: Any) -> None:
    observer.run("CREATE TABLE seen (pid int)")
    observer.run(
        "CREATE FUNCTION slow_at_first() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(*) FROM seen) = 0 THEN PERFORM pg_sleep(0.8); END IF; RETURN 7; END $$"
    )

    def kill_it() -> bool:
        found = observer.run(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
        if found:
            observer.run("INSERT INTO seen VALUES (1)")
            observer.run(f"SELECT pg_terminate_backend({found[0][0]})")
        return bool(found)

    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(pool.query("SELECT slow_at_first()")))
    thread.start()
    eventually(kill_it, "the query runs", 10)
    thread.join(20)
    assert answers == [[(7,)]]


def test_hung_backend_is_replaced(pool: Pool) -> None:
    hung = pid(pool)
    os.kill(hung, signal.SIGSTOP)
    try:
        with raises_within(1.0 + MARGIN):
            pool.query("SELECT 1")
        assert pid(pool) != hung
    finally:
        os.kill(hung, signal.SIGCONT)


@pytest.mark.parametrize("mode", ["black-hole", "drip"])
@pytest.mark.parametrize("warm", [False, True], ids=["new connections", "idle connections"])
def test_hung_network_delays_callers_briefly(settings: Settings, mode: str, warm: bool) -> None:
    with Proxy("127.0.0.1", settings.database.port) as proxy, behind(proxy, settings) as pool:
        if warm:
            fill(pool)
        proxy.mode = mode
        began = time.monotonic()
        raised = at_once(6, lambda: pool.query("SELECT 1, repeat('x', 100)"))
        assert time.monotonic() - began < 0.3 + CONNECT_TIMEOUT + 0.5 + MARGIN + SLACK
        assert [isinstance(error, DatabaseUnavailable) for error in raised] == [True] * 6
        proxy.mode = "pass"
        assert at_once(3, lambda: pool.query("SELECT 1")) == []


def test_hung_connection_drops_idle_connections(settings: Settings, observer: Any) -> None:
    with Proxy("127.0.0.1", settings.database.port) as proxy, behind(proxy, settings) as pool:
        fill(pool)
        proxy.mode = "black-hole"
        with raises_within(0.5 + MARGIN):
            pool.query("SELECT 1")
        with raises_within(CONNECT_TIMEOUT):
            pool.query("SELECT 1")
        proxy.mode = "pass"
        eventually(lambda: sessions(observer) == 0, "the server has seen the connections go", 20)


def test_query_survives_reset_idle_connections(settings: Settings) -> None:
    with Proxy("127.0.0.1", settings.database.port) as proxy, behind(proxy, settings) as pool:
        fill(pool)
        proxy.mode = "cut"
        eventually(lambda: proxy.connections == 0, "the connections are reset", 10)
        with raises_within(CONNECT_TIMEOUT):
            pool.query("SELECT 1")
        proxy.mode = "pass"
        assert at_once(3, lambda: pool.query("SELECT 1")) == []


def test_transaction_is_not_split_by_dying_backend(pool: Pool, observer: Any) -> None:
    observer.run("CREATE TABLE kept (n int)")
    with raises_within(1), pool.transaction() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")
        cursor.execute("SELECT pg_backend_pid()")
        observer.run(f"SELECT pg_terminate_backend({cursor.fetchone()[0]}, 10000)")
        cursor.execute("INSERT INTO kept VALUES (2)")
    assert pool.query("SELECT n FROM kept") == []
    with pool.transaction() as cursor:
        cursor.executemany("INSERT INTO kept VALUES (%s)", [(3,), (4,)])
    assert pool.query("SELECT n FROM kept ORDER BY n") == [(3,), (4,)]


def test_pool_skips_database_known_to_be_down(settings: Settings) -> None:
    down = True
    nowhere = replace(settings.database, host="203.0.113.1")
    with closing(Pool(nowhere, down=lambda: down)) as pool, pytest.raises(DatabaseUnavailable, match="the last check"):
        pool.query("SELECT 1")
    with closing(Pool(settings.database, down=lambda: down)) as pool:
        down = False
        assert pool.query("SELECT 1") == [(1,)]


def test_database_that_refuses_login_is_unavailable(settings: Settings) -> None:
    with closing(Pool(replace(settings.database, name="nothing_here"))) as pool, raises_within(1):
        pool.query("SELECT 1")


def test_connection_to_new_replica_is_dropped(pool: Pool) -> None:
    before = pid(pool)
    with raises_within(1), pool.transaction() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute("CREATE TABLE refused ()")
    assert pid(pool) != before
