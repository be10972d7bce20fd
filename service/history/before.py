"""What was known of each component just before this process started, by it or by another replica."""

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

WITHIN = 1.0
"""Seconds that each of the two servers may take to answer."""
ROUNDS = 100
"""Rounds of the stream to read: more than all replicas of a stack take in a few seconds."""
NEWEST = """
SELECT CAST(extract(epoch FROM at) AS double precision), status FROM history_sample
WHERE component = :component AND at > to_timestamp(:since) AND status <> 'unknown' ORDER BY at DESC LIMIT 1
"""

Sample = tuple[str, float, str]
"""Component, time in seconds since the epoch, status."""


def statuses(settings: Settings, components: Sequence[str], now: float | None = None) -> dict[str, str]:
    """Return the last known status of each component; those of which nothing is known are left out.

    While the database is down, the samples wait in Redis. Neither has to answer: then nothing is known.

    Args:
        settings: of this process.
        components: their names.
        now: in seconds since the epoch; samples older than `GAP` are too old to conclude anything from.
    """
    since = (time.time() if now is None else now) - GAP
    found: dict[str, tuple[float, str]] = {}
    for name, at, status in [*_in_the_database(settings, components, since), *_in_the_stream(settings)]:
        if name in components and status != UNKNOWN and at > max(since, found.get(name, (0.0, ""))[0]):
            found[name] = (at, status)
    return {name: status for name, (_, status) in found.items()}


def _in_the_database(settings: Settings, components: Sequence[str], since: float) -> list[Sample]:
    with suppress(OSError, pg8000.exceptions.Error), deadline.within(WITHIN), _connection(settings.database) as found:
        return [(name, *row) for name in components for row in found.run(NEWEST, component=name, since=since)]
    return []


@contextmanager
def _connection(address: Address) -> Iterator[Any]:
    sock = deadline.dial(address.host, address.port)
    try:
        found = connect(address, WITHIN, sock=sock, application="stackhand-history")
    except BaseException:
        sock.close()
        raise
    try:
        yield found
    finally:
        with suppress(Exception):
            found.close()


def _in_the_stream(settings: Settings) -> list[Sample]:
    client = redis_client.client(settings.cache, timeout=WITHIN, connections=1)
    with suppress(redis.RedisError, OSError), client:
        entries: Any = client.xrevrange(key(settings.stack), count=ROUNDS)
        return list(_samples(_rounds(fields.get(FIELD, b"") for _, fields in entries)))
    return []


def _rounds(texts: Iterable[bytes]) -> Iterator[Round]:
    for text in texts:
        with suppress(ValueError):  # whoever writes the stream to the database reports it
            yield decode(text)


def _samples(rounds: Iterable[Round]) -> Iterator[Sample]:
    for taken in rounds:
        for reading in taken.readings:
            yield reading.component, taken.at, reading.status
