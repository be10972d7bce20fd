"""The queue of rounds for the database: in memory, and in a Redis stream that survives the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import cast

import redis
import structlog

from service import deadline, redis_client
from service.history.samples import Round, decode, encode
from service.settings import Address

log = structlog.get_logger()

MEMORY_ROUNDS = 5_000
"""Maximum number of rounds in memory: 14 hours with one every 10 s, about 5 MB."""
STREAM_ROUNDS = 20_000
"""Maximum number of rounds of all replicas in the stream (Redis may keep a few more): 55 hours of one, about 10 MB."""
PIPELINE = 200
"""Rounds sent to Redis at once."""
TIMEOUT = 1.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
"""Seconds to wait after the first failure in a row, and at most."""
FIELD = b"round"


def key(stack: str) -> str:
    """Return the name of the stream that all replicas of a stack share."""
    return f"stackhand:{stack}:history"


class Backoff:
    """Decides when to retry: the wait doubles with each failure in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._retry_at = float("-inf")

    def over(self) -> bool:
        """Return whether the wait is over."""
        return time.monotonic() >= self._retry_at

    def failed(self) -> int:
        """Start a longer wait; return the number of failures in a row."""
        self._failures += 1
        self._retry_at = time.monotonic() + min(FIRST_WAIT * 2 ** min(self._failures - 1, 10), LONGEST_WAIT)
        return self._failures

    def passed(self) -> bool:
        """Reset the wait and the count; return whether there were failures."""
        before, self._failures, self._retry_at = self._failures, 0, float("-inf")
        return before > 0

    def skip(self) -> None:
        """End the wait and keep the count."""
        self._retry_at = float("-inf")


class Spool:
    """Rounds that the database may not have yet.

    One thread adds rounds; another does everything else.

    Args:
        address: the Redis-protocol server.
        name: of the stream.
        memory_rounds: maximum in memory.
        stream_rounds: approximate maximum in the stream.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        *,
        memory_rounds: int = MEMORY_ROUNDS,
        stream_rounds: int = STREAM_ROUNDS,
    ) -> None:
        self.dropped = 0
        self.backoff = Backoff()
        self._client = redis_client.client(address, timeout=TIMEOUT, connections=1)
        self._name = name
        self._memory_rounds, self._stream_rounds = memory_rounds, stream_rounds
        self._memory: dict[tuple[str, int], Round] = {}
        self._streamed: set[tuple[str, int]] = set()
        self._ids: dict[tuple[str, int], list[bytes]] = {}
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Number of rounds of this process that wait."""
        return len(self._memory)

    def add(self, taken: Round) -> None:
        """Keep a round in memory. When memory is full, drop the oldest, which is lost unless the stream has it."""
        with self._lock:
            self._memory[taken.key] = taken
            if len(self._memory) > self._memory_rounds:
                oldest = next(iter(self._memory))
                del self._memory[oldest]
                self.dropped += oldest not in self._streamed
                self._streamed.discard(oldest)

    def push(self) -> bool:
        """Copy new rounds to the stream; return whether the stream now has all of them."""
        if not self.backoff.over():
            return False
        try:
            self._detect_data_loss()
            with self._lock:
                new = [taken for name, taken in self._memory.items() if name not in self._streamed]
            for first in range(0, len(new), PIPELINE):
                self._append(new[first : first + PIPELINE])
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return False
        return True

    def take(self, limit: int) -> list[Round]:
        """Return the rounds to write next: the oldest in the stream, of any replica, and the oldest in memory."""
        self._ids = {}
        rounds = self._from_stream(limit) if self.backoff.over() else {}
        with self._lock:
            own = list(islice(self._memory.values(), limit))
        rounds.update((each.key, each) for each in own)
        return list(rounds.values())

    def done(self, rounds: Iterable[Round]) -> bool:
        """Forget rounds that the database has; return False if Redis keeps them, so that they come again."""
        keys = [taken.key for taken in rounds]
        ids = [each for name in keys for each in self._ids.get(name, ())]
        with self._lock:
            for name in keys:
                self._memory.pop(name, None)
                self._streamed.discard(name)
        return self._delete(ids)

    def abort(self) -> None:
        """Make the current command of another thread fail."""
        for connection in list(getattr(self._client.connection_pool, "_in_use_connections", ())):
            deadline.cut(getattr(connection, "_sock", None))

    def close(self) -> None:
        """Close the connection."""
        with suppress(redis.RedisError, OSError):
            self._client.close()

    def _detect_data_loss(self) -> None:
        """Copy all rounds again if the stream is empty: Redis has lost its data, for example in a restart."""
        if self._streamed and self._client.xlen(self._name) == 0:
            with self._lock:
                self._streamed.clear()

    def _append(self, rounds: Sequence[Round]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for taken in rounds:
            pipeline.xadd(self._name, {FIELD: encode(taken)})
        # XADD's own MAXLEN does not return how many entries it removes.
        pipeline.xtrim(self._name, maxlen=self._stream_rounds, approximate=True)
        trimmed = pipeline.execute()[-1]
        with self._lock:
            self.dropped += trimmed
            self._streamed.update(taken.key for taken in rounds if taken.key in self._memory)
        self.backoff.passed()

    def _from_stream(self, limit: int) -> dict[tuple[str, int], Round]:
        try:
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(self._name, count=limit))
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return {}
        rounds: dict[tuple[str, int], Round] = {}
        for identity, fields in entries:
            try:
                taken = decode(fields.get(FIELD, b""))
            except ValueError as error:
                log.warning("history stream entry is invalid", what=str(error))
                self.dropped += 1
                self._delete([identity])
                continue
            rounds[taken.key] = taken
            self._ids.setdefault(taken.key, []).append(identity)
        return rounds

    def _delete(self, ids: Sequence[bytes]) -> bool:
        if not ids:
            return True
        try:
            self._client.xdel(self._name, *ids)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: Exception) -> None:
        if self.backoff.failed() == 1:
            log.warning("samples are in memory only", what=f"{type(error).__name__}: {error}")
