"""Where rounds of samples wait for the database: in memory, and in a Redis stream that outlives the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import cast

import redis
import structlog

from service import deadline, redis_client
from service.history.backoff import Backoff
from service.history.samples import Round, decode, encode
from service.settings import Address

log = structlog.get_logger()

MEMORY_ROUNDS = 5_000
"""Rounds kept in memory at most; 14 hours of one every 10 s, some 5 MB."""
STREAM_ROUNDS = 20_000
"""Rounds in the stream at most (Redis may keep some more), of all replicas: 55 hours of one; some 10 MB."""
PIPELINE = 200
"""Rounds sent to Redis at once."""
TIMEOUT = 1.0
FIELD = b"round"


def key(stack: str) -> str:
    """Return the name of the stream that all replicas of a stack share."""
    return f"stackhand:{stack}:history"


class Spool:
    """Rounds that are not known to be in the database.

    One thread adds, another one does the rest.

    Args:
        address: the Redis-protocol server.
        name: of the stream.
        memory_rounds: kept in memory at most.
        stream_rounds: kept in the stream at most, roughly.
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
        """How many rounds of this process wait."""
        return len(self._memory)

    def add(self, taken: Round) -> None:
        """Keep a round in memory; when there is no room, the oldest goes, and is lost unless the stream has it."""
        with self._lock:
            self._memory[taken.key] = taken
            if len(self._memory) > self._memory_rounds:
                oldest = next(iter(self._memory))
                del self._memory[oldest]
                self.dropped += oldest not in self._streamed
                self._streamed.discard(oldest)

    def push(self) -> bool:
        """Copy into the stream what it has not; return whether it has everything now."""
        if not self.backoff.over():
            return False
        try:
            self._recognise_a_loss()
            with self._lock:
                new = [taken for name, taken in self._memory.items() if name not in self._streamed]
            for first in range(0, len(new), PIPELINE):
                self._append(new[first : first + PIPELINE])
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return False
        return True

    def take(self, most: int) -> list[Round]:
        """Return the rounds to write next: the oldest of the stream, of any replica, and the oldest of the memory."""
        self._ids = {}
        found = self._of_stream(most) if self.backoff.over() else {}
        with self._lock:
            own = list(islice(self._memory.values(), most))
        found.update((taken.key, taken) for taken in own)
        return list(found.values())

    def done(self, rounds: Iterable[Round]) -> bool:
        """Forget rounds that the database has; return False when Redis keeps them, so that they will come again."""
        keys = [taken.key for taken in rounds]
        ids = [each for name in keys for each in self._ids.get(name, ())]
        with self._lock:
            for name in keys:
                self._memory.pop(name, None)
                self._streamed.discard(name)
        return self._delete(ids)

    def abort(self) -> None:
        """Have a command fail that is under way in another thread."""
        for connection in list(getattr(self._client.connection_pool, "_in_use_connections", ())):
            deadline.cut(getattr(connection, "_sock", None))

    def close(self) -> None:
        """Close the connection."""
        with suppress(redis.RedisError, OSError):
            self._client.close()

    def _recognise_a_loss(self) -> None:
        """When the stream is empty, what we have put there is not there any more: Redis was restarted, say."""
        if self._streamed and self._client.xlen(self._name) == 0:
            with self._lock:
                self._streamed.clear()

    def _append(self, rounds: Sequence[Round]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for taken in rounds:
            pipeline.xadd(self._name, {FIELD: encode(taken)})
        # Not by XADD's own MAXLEN, which does not say how many it has removed.
        pipeline.xtrim(self._name, maxlen=self._stream_rounds, approximate=True)
        trimmed = pipeline.execute()[-1]
        with self._lock:
            self.dropped += trimmed
            self._streamed.update(taken.key for taken in rounds if taken.key in self._memory)
        self.backoff.passed()

    def _of_stream(self, most: int) -> dict[tuple[str, int], Round]:
        try:
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(self._name, count=most))
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return {}
        found: dict[tuple[str, int], Round] = {}
        for identity, fields in entries:
            try:
                taken = decode(fields.get(FIELD, b""))
            except ValueError as error:
                log.warning("an entry of the history's stream is no round of samples", what=str(error))
                self.dropped += 1
                self._delete([identity])
                continue
            found[taken.key] = taken
            self._ids.setdefault(taken.key, []).append(identity)
        return found

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
            log.warning("samples wait in memory only", what=f"{type(error).__name__}: {error}")
