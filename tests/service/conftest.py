"""A real PostgreSQL and a real Redis-protocol server, without the rest of the stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from service.database import connect_patiently
from service.settings import SCHEMA, Address, Settings
from stackhand.local.engines.embedded import accounts
from stackhand.local.engines.embedded.servers import postgres, redis
from stackhand.local.engines.embedded.servers.base import installed
from tests.checkout import eventually, free_ports
from tests.service.history_kit import World, shared
from tests.service.process import BODY_TIMEOUT, HEADER_TIMEOUT, NOTES, NOWHERE, SLOW, TOKEN, Service, ready


class Server:
    """A server process that a test may stop and start."""

    def __init__(self, argv: list[str], account: accounts.Account | None) -> None:
        self.argv = [*account.prefix, *argv] if account else argv
        self.account = {"user": account.uid, "group": account.gid} if account and not account.prefix else {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self.argv, stdout=quiet, stderr=quiet, cwd="/", **self.account)

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown, and an end for valkey
            self.process.wait(timeout=20)
            self.process = None


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, tuple[Server, Address]]]:
    """Both servers by name, each with its address."""
    folder = Path(tempfile.mkdtemp(prefix="sh-service-"))
    folder.chmod(0o755)
    ports = free_ports()
    account = accounts.choose(folder / "pg", (folder, installed(postgres.binary())))
    if account:
        shutil.chown(folder, account.uid, account.gid)
    data = folder / "pg"
    initdb = str(postgres.binary().with_name("initdb"))
    said = accounts.run(account, [initdb, "-D", str(data), "-U", "service", "-A", "trust", "--no-sync"])
    assert said.returncode == 0, said.stdout
    port = ports["POSTGRES_PORT"]
    database = Server(
        [str(postgres.binary()), "-D", str(data), "-p", str(port), "-k", str(folder), "-c", "fsync=off"], account
    )
    cache = Server(
        [str(redis.binary()), "--port", str(ports["REDIS_PORT"]), "--save", "", "--dir", str(folder)], account
    )
    found = {
        "postgres": (database, Address("127.0.0.1", port, "service", "", "service", schema=SCHEMA)),
        "redis": (cache, Address("127.0.0.1", ports["REDIS_PORT"], "", "", "0")),
    }
    for server, _ in found.values():
        server.start()
    yield found
    for server, _ in found.values():
        server.stop()
    shutil.rmtree(folder)


@contextmanager
def empty(servers: dict[str, tuple[Server, Address]]) -> Iterator[Settings]:
    """Give settings for a database that has nothing but the schema, so that a test may create tables in it."""
    at = servers["postgres"][1]
    name = f"test_{os.getpid()}_{time.monotonic_ns()}"
    _as_root(at, f"CREATE DATABASE {name}")
    _as_root(at, f"CREATE SCHEMA {at.schema}", name)
    yield Settings("127.0.0.1", 0, replace(at, name=name), servers["redis"][1], database_wait=5, probe_interval=0.2)
    _as_root(at, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(servers: dict[str, tuple[Server, Address]]) -> Iterator[Settings]:
    """Settings for an empty database of the test's own."""
    with empty(servers) as found:
        yield found


@pytest.fixture(scope="module")
def known(servers: dict[str, tuple[Server, Address]]) -> Iterator[Service]:
    """The service with a token, for the tests of a file."""
    with (
        empty(servers) as settings,
        ready(settings, HEALTH_DETAILS_TOKEN=TOKEN, NOTES_TOKEN=NOTES, SAMPLE_INTERVAL="0.5") as found,
    ):
        yield found


@pytest.fixture
def service(known: Service) -> Service:
    """The same, all components passing; a test that stops what it depends on starts it again."""
    eventually(lambda: known.ask("/health/all")[1]["status"] == "pass", "all components pass")
    return known


@pytest.fixture(scope="session")
def lonely() -> Iterator[Service]:
    """The service without any dependency, with a few more paths."""
    settings = {"DATABASE_WAIT": "3600", "THREADS": "4", "CORS_ORIGINS": "https://status.example.com"}
    settings |= {"HEADER_TIMEOUT": str(HEADER_TIMEOUT), "BODY_TIMEOUT": str(BODY_TIMEOUT), "NOTES_TOKEN": NOTES}
    found = Service(NOWHERE, command=SLOW, HEALTH_DETAILS_TOKEN=TOKEN, **settings)
    try:
        found.await_status("/health")
        yield found
    finally:
        found.kill()


@pytest.fixture(scope="session")
def schema(servers: dict[str, tuple[Server, Address]]) -> Iterator[Settings]:
    """Settings for a database with the schema, which tests of the history share."""
    with shared(servers["postgres"][1], servers["redis"][1]) as found:
        yield found


@pytest.fixture
def world(schema: Settings) -> Iterator[World]:
    """A world whose history is empty."""
    found = World(schema)
    found.clear()
    yield found
    found.close()


def _as_root(address: Address, sql: str, database: str = "postgres") -> None:
    connection = connect_patiently(replace(address, name=database), 20)
    connection.run(sql)
    connection.close()
