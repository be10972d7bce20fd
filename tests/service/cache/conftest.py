"""A Redis-protocol server alone: a PostgreSQL beside it would slow down mutation tests."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service import redis_client
from service.cache import Cache
from service.settings import Address
from stackhand.local.engines.embedded.servers import redis as redis_server
from tests.checkout import eventually
from tests.service.cache.kit import cache
from tests.service.conftest import Server


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


@pytest.fixture
def kept(at: Address, store: redis.Redis) -> Iterator[Cache]:
    with cache(at) as found:
        yield found


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
