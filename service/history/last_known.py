"""The last known status of each component, from samples that this or another replica took before the start."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pg8000.exceptions
import redis

from service import deadline, redis_client
from service.database import connect
from service.health.state import UNKNOWN
from service.history.incidents import GAP
from service.history.samples import Round, decode
from service.history.spool import FIELD, key
from service.settings import Address, Settings

TIMEOUT = 1.0
"""Seconds that each of the two servers has to answer."""
ROUNDS = 100
"""Rounds of the stream to read: more than all replicas of a stack take in a few seconds."""
NEWEST = """
SELECT CAST(extract(epoch FROM at) AS double precision), status FROM history_sample
WHERE component = :component AND at > to_timestamp(:since) AND status <> 'unknown' ORDER BY at DESC LIMIT 1
"""

Observation = tuple[str, float, str]
"""Component, time in seconds since the epoch, status."""


def statuses(settings: Settings, components: Sequence[str], now: float | None = None) -> dict[str, str]:
    """Return the last known status by component; a component without recent samples is missing.

    While the database is down, the samples wait in Redis. If neither answers, the result is empty.

    Args:
        settings: of this process.
        components: their names.
        now: in seconds since the epoch; samples older than `GAP` prove nothing.
    """
    since = (time.time() if now is None else now) - GAP
    newest: dict[str, tuple[float, str]] = {}
    for name, at, status in [*_from_database(settings, components, since), *_from_stream(settings)]:
        if name in components and status != UNKNOWN and at > max(since, newest.get(name, (0.0, ""))[0]):
            newest[name] = (at, status)
    return {name: status for name, (_, status) in newest.items()}


def _from_database(settings: Settings, components: Sequence[str], since: float) -> list[Observation]:
    with suppress(OSError, pg8000.exceptions.Error), deadline.within(TIMEOUT), _connection(settings.database) as open_:
        return [(name, *row) for name in components for row in open_.run(NEWEST, component=name, since=since)]
    return []


@contextmanager
def _connection(address: Address) -> Iterator[Any]:
    sock = deadline.dial(address.host, address.port)
    try:
        connection = connect(address, TIMEOUT, sock=sock, application="stackhand-history")
    except BaseException:
        sock.close()
        raise
    try:
        yield connection
    finally:
        with suppress(Exception):
            connection.close()


def _from_stream(settings: Settings) -> list[Observation]:
    client = redis_client.client(settings.cache, timeout=TIMEOUT, connections=1)
    with suppress(redis.RedisError, OSError), client:
        entries: Any = client.xrevrange(key(settings.stack), count=ROUNDS)
        return list(_observations(_rounds(fields.get(FIELD, b"") for _, fields in entries)))
    return []


def _rounds(texts: Iterable[bytes]) -> Iterator[Round]:
    for text in texts:
        with suppress(ValueError):  # the replica that writes the stream to the database reports it
            yield decode(text)


def _observations(rounds: Iterable[Round]) -> Iterator[Observation]:
    for each in rounds:
        for sample in each.samples:
            yield sample.component, each.at, sample.status
