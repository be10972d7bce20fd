"""TLS to PostgreSQL and Redis: trusted certificates, and time limits below TLS, for requests and probes."""

from __future__ import annotations

import gc
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from service import deadline, redis_client
from service.database import DatabaseUnavailable, connect_patiently, tls_context
from service.health import probes
from service.pool import CONNECT_TIMEOUT, MARGIN, Pool
from service.settings import Address
from tests.checkout import eventually
from tests.proxy import Proxy
from tests.service.conftest import Server
from tests.service.stub_probe import check_result, component
from tests.tls import Authority, Front, pem

SLACK = 2.0
LEFT_TO_THE_COLLECTOR = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <service.deadline.TlsSocket:pytest.PytestUnraisableExceptionWarning"
)
"""A probe that is stopped, or cut off while pg8000 greets the server, leaves its socket to the garbage collector."""


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect garbage after the test, so that what is said of it is not said of another one.

    A thread that still ends holds a socket, and a socket that is not collected yet holds a thread of the server.
    """
    before = set(threading.enumerate())
    yield

    def ended() -> bool:
        gc.collect()
        return set(threading.enumerate()) <= before

    eventually(ended, "the threads of the test end")
    gc.collect()


@pytest.fixture(scope="module")
def encrypted(servers: dict[str, tuple[Server, Address]]) -> Iterator[Address]:
    """Where PostgreSQL is to be had with TLS, and the authority to trust."""
    plain = replace(servers["postgres"][1], name="postgres")
    connect_patiently(plain, 20).close()
    folder = Path(tempfile.mkdtemp(prefix="sh-tls-"))
    authority = Authority.make()
    (folder / "ca.pem").write_bytes(pem(authority.certificate))
    front = Front(plain, *authority.issue(folder, "127.0.0.1"), asked=True)
    try:
        yield replace(plain, port=front.port, tls=True, ca=str(folder / "ca.pem"))
    finally:
        front.close()
        shutil.rmtree(folder)


def test_postgresql_certificate_of_given_authority_is_trusted(encrypted: Address) -> None:
    pool = Pool(encrypted)
    assert len({pool.query("SELECT pg_backend_pid()")[0] for _ in range(5)}) == 1  # and the connection is kept
    pool.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ca": ""}, "self-signed|unable to get"),
        ({"host": "localhost"}, "Hostname mismatch"),
    ],
    ids=["the system's authorities", "another name"],
)
def test_other_postgresql_certificates_are_refused(encrypted: Address, change: dict[str, object], why: str) -> None:
    pool = Pool(replace(encrypted, **change))
    with pytest.raises(DatabaseUnavailable, match=why):
        pool.query("SELECT 1")
    pool.close()


def test_postgresql_without_tls_is_refused(encrypted: Address, servers: dict[str, tuple[Server, Address]]) -> None:
    pool = Pool(replace(encrypted, port=servers["postgres"][1].port))
    with pytest.raises(DatabaseUnavailable, match="refuses SSL"):
        pool.query("SELECT 1")
    pool.close()


def test_tls_context_is_created_once(encrypted: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    tls_context(encrypted.ca)
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: pytest.fail("another context is made"))
    for _ in range(3):
        pool = Pool(encrypted)
        assert pool.query("SELECT 1") == [(1,)]
        pool.close()


@pytest.mark.parametrize("mode", ["black-hole", "drip"])
@pytest.mark.parametrize("warm", [False, True], ids=["handshake", "statement"])
def test_pool_limits_hold_below_tls(encrypted: Address, mode: str, warm: bool) -> None:
    with Proxy("127.0.0.1", encrypted.port) as proxy:
        pool = Pool(replace(encrypted, port=proxy.port), statement_timeout=0.5)
        if warm:
            pool.query("SELECT 1")
        proxy.mode = mode
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            pool.query("SELECT 1")
        assert time.monotonic() - began < CONNECT_TIMEOUT + 0.5 + MARGIN + SLACK
        proxy.mode = "pass"
        assert pool.query("SELECT 1") == [(1,)]
        pool.close()


@pytest.fixture
def encrypted_redis(servers: dict[str, tuple[Server, Address]], encrypted: Address) -> Iterator[Address]:
    """Where the Redis-protocol server is to be had with TLS, and the authority to trust."""
    folder = Path(encrypted.ca).parent
    front = Front(servers["redis"][1], folder / "server.crt", folder / "server.key", asked=False)
    yield replace(servers["redis"][1], port=front.port, tls=True, ca=encrypted.ca)
    front.close()


def test_redis_certificate_of_given_authority_is_trusted(encrypted_redis: Address) -> None:
    client = redis_client.client(encrypted_redis, timeout=5)
    assert client.set("tls", "1", px=1000)
    client.close()


@pytest.mark.parametrize(
    "change", [{"ca": ""}, {"host": "localhost"}], ids=["the system's authorities", "another name"]
)
def test_other_redis_certificates_are_refused(encrypted_redis: Address, change: dict[str, str]) -> None:
    client = redis_client.client(replace(encrypted_redis, **change), timeout=5)
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        client.ping()
    client.close()


@pytest.mark.parametrize("mode", ["black-hole", "drip"])
def test_redis_limits_hold_below_tls(encrypted_redis: Address, mode: str) -> None:
    with Proxy("127.0.0.1", encrypted_redis.port) as proxy:
        client = redis_client.client(replace(encrypted_redis, port=proxy.port), timeout=0.5)
        client.set("tls", "x" * 1000, px=60_000)
        proxy.mode = mode
        began = time.monotonic()
        with pytest.raises(redis.TimeoutError), deadline.within(0.5):
            client.get("tls")
        assert time.monotonic() - began < 0.5 + SLACK
        client.close()


@LEFT_TO_THE_COLLECTOR
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_probe_trusts_only_the_given_authority(encrypted: Address, encrypted_redis: Address, kind: str) -> None:
    make, at = (probes.Postgres, encrypted) if kind == "postgres" else (probes.Redis, encrypted_redis)
    found = component(make(at, 5.0))
    assert [check_result(found) for _ in range(2)] == [("pass", "")] * 2
    found.stop()
    assert check_result(component(make(replace(at, ca=""), 5.0)))[0] == "fail"


def test_probe_reports_certificate_errors(encrypted: Address) -> None:
    assert check_result(component(probes.Postgres(replace(encrypted, host="localhost"), 5.0))) == (
        "fail",
        "certificate",
    )


@LEFT_TO_THE_COLLECTOR
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("mode", ["black-hole", "drip"])
def test_check_below_tls_ends_at_deadline(encrypted: Address, mode: str) -> None:
    with Proxy("127.0.0.1", encrypted.port) as proxy:
        found = component(probes.Postgres(replace(encrypted, port=proxy.port), 0.5), deadline=0.5)
        eventually(lambda: check_result(found) == ("pass", ""), "it passes")
        proxy.mode = mode
        assert check_result(found) == ("fail", "timeout")
        proxy.mode = "pass"
        eventually(lambda: check_result(found) == ("pass", ""), "it passes again")
        found.stop()
