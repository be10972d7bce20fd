"""A cache of JSON answers (docs/decisions/010-cache.md)."""

from __future__ import annotations

import concurrent.futures
import random
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from service import deadline
from service.answer import Answer, decode, encode, make_answer
from service.breaker import Breaker
from service.database import DatabaseUnavailable
from service.redis_errors import REFUSES_WRITES, reason_of

LARGEST = 1_000_000
"""Maximum size of a cached answer in bytes; a larger one is made again each time."""
LOCAL_COPIES = 64
"""Answers that this process keeps in case Redis is down."""
REDIS_TIMEOUT = 0.25
"""Seconds for one command of Redis."""


class AnswerDelayed(Exception):  # noqa: N818 - a state, not a fault of ours
    """Another caller makes the answer, and did not finish in time."""

    code = "answer_delayed"


@dataclass(frozen=True)
class _Copy:
    """A known answer: until when it is fresh, and until when it may be used as stale (monotonic clock)."""

    answer: Answer
    fresh_until: float
    expires_at: float

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self.fresh_until


class Cache:
    """Caches answers in Redis, and the most recent ones in memory in case Redis is down.

    Every failure of Redis is a miss. While PostgreSQL is down, the last known answer is returned as stale.

    Args:
        client: of the Redis-protocol server.
        prefix: of the keys, so that other programs may use the same database.
        ttl: seconds for which an answer is fresh.
        jitter: maximum part of `ttl` by which it is shortened at random, so that answers do not expire together.
        stale_for: seconds beyond `ttl` for which an answer may be used as stale.
        wait: seconds to wait for an answer that another caller makes.
        down: whether Redis is known to be down: then it is not asked.
        pause: seconds for which Redis is not asked after a failure.
        timeout: seconds for one command of Redis.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str,
        ttl: float,
        jitter: float = 0.2,
        stale_for: float = 300.0,
        wait: float = 3.0,
        down: Callable[[], bool] = lambda: False,
        pause: float = 1.0,
        timeout: float = REDIS_TIMEOUT,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._ttl, self._jitter = ttl, jitter
        self._stale_for = stale_for
        self._wait = wait
        self._timeout = timeout
        self._breaker = Breaker(pause, down)
        self._lock = threading.Lock()
        self._flights: dict[str, concurrent.futures.Future[Answer]] = {}
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts since the start: hit, local, miss, stale, joined, delayed, foreign, skipped."""
        with self._lock:
            return Counter(self._counts)

    @property
    def errors(self) -> Mapping[str, int]:
        """Failures of Redis since the start, by reason."""
        with self._lock:
            return Counter(self._errors)

    @property
    def breaker(self) -> str:
        """The state of the circuit breaker: closed (Redis is asked), open (it is not) or half_open."""
        return self._breaker.state

    def get_or_make(self, key: str, make: Callable[[], dict[str, Any]]) -> Answer:
        """Return the answer for a key. One of several concurrent callers makes it; the others share the outcome.

        Args:
            key: identifies the answer.
            make: returns the content; it is called when no fresh answer is known.

        Raises:
            AnswerDelayed: another caller makes the answer, did not finish in time, and no older one is known.
            Exception: what `make` raises, in every waiting caller; it is not cached. For DatabaseUnavailable, an older
                answer is returned instead if one is known.
        """
        with self._lock:
            flight = self._flights.get(key)
            is_maker = flight is None
            if flight is None:
                flight = self._flights[key] = concurrent.futures.Future()
            else:
                self._counts["joined"] += 1
        return self._make(key, make, flight) if is_maker else self._wait_for(key, flight)

    def invalidate(self, key: str) -> None:
        """Discard an answer; call this after its content has changed and the change is committed.

        An answer that another process is making at the same time may survive, but not beyond its TTL.
        """
        with self._lock:
            self._flights.pop(key, None)  # the answer being made may predate the change
            if key in self._copies:
                self._copies[key] = replace(self._copies[key], fresh_until=float("-inf"))
        self._ask(lambda: self._client.delete(self._name(key)))

    def _make(self, key: str, make: Callable[[], dict[str, Any]], flight: concurrent.futures.Future[Answer]) -> Answer:
        try:
            answer = self._find(key, make, flight)
        except BaseException as error:
            # An exception for this thread only, such as SystemExit, must not reach the others.
            flight.set_exception(error if isinstance(error, Exception) else AnswerDelayed("its caller was interrupted"))
            raise
        else:
            flight.set_result(answer)
            return answer
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]

    def _wait_for(self, key: str, flight: concurrent.futures.Future[Answer]) -> Answer:
        done, _ = concurrent.futures.wait([flight], self._wait)
        if done:
            return flight.result()
        self._count("delayed")
        copy = self._copy(key)
        if copy is None:
            raise AnswerDelayed(f"no answer within {self._wait:g} s")
        return self._stale(copy.answer)

    def _find(self, key: str, make: Callable[[], dict[str, Any]], flight: concurrent.futures.Future[Answer]) -> Answer:
        known = self._known(key)
        if known is not None and known.fresh:
            return known.answer
        self._count("miss")
        try:
            answer = make_answer(make())
        except DatabaseUnavailable:
            if known is None:
                raise
            return self._stale(known.answer)
        self._keep(key, answer, flight)
        return answer

    def _known(self, key: str) -> _Copy | None:
        """Return the answer from Redis, or the local copy, which counts as fresh only while Redis cannot be asked."""
        local = self._copy(key)
        reply = self._ask(lambda: self._fetch(key))
        if reply is None:
            if local is not None and local.fresh:
                self._count("local")
            return local
        copy = self._parse(key, *reply)
        if copy is not None:
            self._remember(key, copy)
            if copy.fresh:
                self._count("hit")
            return copy
        return local and replace(local, fresh_until=float("-inf"))

    def _parse(self, key: str, value: object, milliseconds: object) -> _Copy | None:
        if value == b"":
            return None
        answer = decode(key, value) if isinstance(value, bytes) else None
        seconds = milliseconds / 1000 if isinstance(milliseconds, int) else -1.0
        if answer is None or not 0 <= seconds <= self._ttl + self._stale_for:
            self._count("foreign")
            return None
        now = time.monotonic()
        return _Copy(answer, now + seconds - self._stale_for, now + seconds)

    def _fetch(self, key: str) -> list[Any]:
        """Return a value, no more of it than an answer may have, and its remaining lifetime."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.getrange(self._name(key), 0, LARGEST + 1_000)
        pipeline.pttl(self._name(key))
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, redis.RedisError) and not str(reply).startswith("WRONGTYPE"):
                raise reply
        return replies

    def _keep(self, key: str, answer: Answer, flight: concurrent.futures.Future[Answer]) -> None:
        fresh_for = self._ttl * (1 - self._jitter * random.random())  # noqa: S311 - no secret
        if len(answer.body) > LARGEST:
            self._count("skipped")
            return
        with self._lock:
            if self._flights.get(key) is not flight:
                return  # invalidated meanwhile
        now, kept_for = time.monotonic(), fresh_for + self._stale_for
        self._remember(key, _Copy(answer, now + fresh_for, now + kept_for))
        self._ask(lambda: self._client.set(self._name(key), encode(key, answer), px=round(kept_for * 1000)))
        with self._lock:
            valid = self._flights.get(key) is flight
        if not valid:
            self.invalidate(key)

    def _ask(self, command: Callable[[], Any]) -> Any:
        """Return the reply to a command; None if Redis fails. The breaker spares the next callers the same failure."""
        if not self._breaker.admits():
            return None
        try:
            with deadline.within(self._timeout):
                reply = command()
        except redis.exceptions.MaxConnectionsError:
            self._breaker.succeeded()  # not a fault of Redis
            self._fail("busy")
        except (redis.RedisError, OSError) as error:
            reason = reason_of(error)
            (self._breaker.succeeded if reason in REFUSES_WRITES else self._breaker.failed)()
            self._fail(reason)
        except BaseException:
            self._breaker.failed()
            raise
        else:
            self._breaker.succeeded()
            return reply
        return None

    def _remember(self, key: str, copy: _Copy) -> None:
        with self._lock:
            self._copies[key] = copy
            self._copies.move_to_end(key)
            while len(self._copies) > LOCAL_COPIES:
                self._copies.popitem(last=False)

    def _copy(self, key: str) -> _Copy | None:
        """Return the local copy if it may still be used, at least as stale."""
        with self._lock:
            copy = self._copies.get(key)
        return copy if copy is not None and time.monotonic() < copy.expires_at else None

    def _stale(self, answer: Answer) -> Answer:
        self._count("stale")
        return replace(answer, stale=True)

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._counts[outcome] += 1

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._errors[reason] += 1
