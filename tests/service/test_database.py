"""Broken and refused connections leave nothing behind, even before garbage collection."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import psutil
import pytest

from service import redis_client
from service.database import DatabaseUnavailable, connect, connect_patiently
from service.health.probes import Postgres, Redis
from service.pool import Pool
from service.settings import Address, Settings
from tests.impostor import CLEAR, SASL, impostor
from tests.service.pool_kit import closing as pools
from tests.service.stub_probe import check_result, component

TIMES = 5


@pytest.fixture
def held() -> Iterator[Callable[[], int]]:
    """How many files this process has open, of which nothing is collected: as in one that does little for hours."""
    gc.collect()
    gc.disable()
    yield psutil.Process().num_fds
    gc.enable()
    gc.collect()


def test_broken_postgresql_probe_leaks_no_socket(settings: Settings, held: Callable[[], int]) -> None:
    probe = Postgres(settings.database, 5.0)
    with closing(connect(settings.database, 10)) as admin:
        probe.check()
        before = held()
        for _ in range(TIMES):
            admin.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stackhand-probe'"
            )
            failed(probe.check)
            probe.check()
        assert held() == before
    probe._drop()


def test_broken_redis_probe_leaks_no_socket(settings: Settings, held: Callable[[], int]) -> None:
    probe, admin = Redis(settings.cache, 5.0), redis_client.client(settings.cache, timeout=5.0, connections=1)
    probe.check()
    admin.ping()
    before = held()
    for _ in range(TIMES):
        admin.client_kill_filter(skipme=True)
        failed(probe.check)
        probe.check()
    assert held() == before
    probe._connection.disconnect()
    admin.close()


def test_refused_connection_leaks_no_socket(settings: Settings, held: Callable[[], int]) -> None:
    nowhere = replace(settings.database, name="nothing")
    before = held()
    with pools(Pool(nowhere)) as pool:
        for _ in range(TIMES):
            failed(Postgres(nowhere, 5.0).check)
            failed(lambda: pool.query("SELECT 1"))
    assert held() == before


def test_error_is_not_its_own_cause(settings: Settings) -> None:
    with pools(Pool(settings.database)) as pool:
        assert failed(lambda: pool.query("SELECT nothing")) == "DatabaseError"


@pytest.mark.parametrize(
    ("asks", "why", "heard_then"),
    [
        (CLEAR, "requests the cleartext password", {b""}),
        (SASL, "does not know the password", None),
    ],
    ids=["clear", "scram"],
)
def test_impostor_server_receives_no_password(asks: bytes, why: str, heard_then: set[bytes] | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    there = Address("127.0.0.1", listener.getsockname()[1], user="shop", password="the-very-secret", name="shop")
    with impostor(listener, asks) as heard, pools(Pool(there)) as pool:
        with pytest.raises(DatabaseUnavailable, match=f"{why}: it is not our PostgreSQL"):
            pool.query("SELECT 1")
        with pytest.raises(DatabaseUnavailable):
            connect_patiently(there, 0)
        assert check_result(component(Postgres(there, 5.0))) == ("fail", "false_server")
    assert len(heard) == 3
    assert b"the-very-secret" not in b"".join(heard)
    assert heard_then in (set(heard), None)


def failed(ask: Callable[[], object]) -> str:
    """Ask what must fail, and return with what; the error itself would be held by whoever check_result at it."""
    name = ""
    try:
        ask()
    except Exception as error:
        name = "its own cause" if error.__cause__ is error else type(error).__name__
    assert name not in {"", "its own cause"}
    return name
