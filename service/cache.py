"""JSON answers that are made once and given many times (docs/decisions/010-cache.md)."""

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
from service.redis_errors import TAKES_NO_WRITES, reason_of

LARGEST = 1_000_000
"""Bytes of an answer that is kept; a larger one is made again each time."""
KEPT_HERE = 64
"""Answers that this process keeps for when Redis is down."""
REDIS_WITHIN = 0.25
"""Seconds that Redis has for each thing it is asked."""


class AnswerDelayed(Exception):  # noqa: N818 - a state, not a fault of ours
    """Somebody else makes the answer, and was not done in time."""

    code = "answer_delayed"


@dataclass(frozen=True)
class _Copy:
    """What is known of an answer: until when it is fresh, and until when it may be given at all (monotonic clock)."""

    answer: Answer
    fresh_until: float
    kept_until: float

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self.fresh_until


class Cache:
    """Answers kept in Redis, and the last few of them here, for when Redis is down.

    Every failure of Redis is a miss. While PostgreSQL is down the last known answer is given, marked as stale.

    Args:
        client: of the Redis-protocol server.
        prefix: of the keys, so that others may use the same database.
        ttl: seconds for which an answer may be given again.
        jitter: part of `ttl` by which that is shortened by chance, so that not all answers expire together.
        stale_for: seconds beyond `ttl` for which an answer may be given marked as stale.
        wait: seconds to wait for an answer that somebody else makes.
        down: whether Redis is known to be down: then it is not asked.
        pause: seconds for which Redis is not asked after it failed.
        within: seconds that Redis has for an answer, on the wall clock.
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
        within: float = REDIS_WITHIN,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._ttl, self._jitter = ttl, jitter
        self._stale_for = stale_for
        self._wait = wait
        self._within = within
        self._breaker = Breaker(pause, down)
        self._lock = threading.Lock()
        self._flights: dict[str, concurrent.futures.Future[Answer]] = {}
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often since the start: hit, local, miss, stale, joined, delayed, foreign, skipped."""
        with self._lock:
            return Counter(self._counts)

    @property
    def errors(self) -> Mapping[str, int]:
        """How often Redis failed since the start, by the reason."""
        with self._lock:
            return Counter(self._errors)

    @property
    def breaker(self) -> str:
        """Whether Redis is asked: closed (yes), open (no) or trying."""
        return self._breaker.state

    def get_or_make(self, key: str, make: Callable[[], dict[str, Any]]) -> Answer:
        """Return the answer for a key; of callers at the same time one makes it, and the others get what it got.

        Args:
            key: what the answer is for.
            make: returns the answer; it is called when there is none that is young enough.

        Raises:
            AnswerDelayed: somebody else makes it, was not done in time, and there is no older one.
            Exception: what `make` raises, to all who wait for it; it is not kept. When that is DatabaseUnavailable
                and an older answer is known, this is returned in its place.
        """
        with self._lock:
            flight = self._flights.get(key)
            mine = flight is None
            if flight is None:
                flight = self._flights[key] = concurrent.futures.Future()
            else:
                self._counts["joined"] += 1
        return self._lead(key, make, flight) if mine else self._follow(key, flight)

    def invalidate(self, key: str) -> None:
        """Have the answer made anew; call it when what it says has changed and that is committed.

        An answer that another process is making meanwhile may outlive this, but not its TTL.
        """
        with self._lock:
            self._flights.pop(key, None)  # what is being made may be of before
            if key in self._copies:
                self._copies[key] = replace(self._copies[key], fresh_until=float("-inf"))
        self._ask(lambda: self._client.delete(self._name(key)))

    def _lead(self, key: str, make: Callable[[], dict[str, Any]], flight: concurrent.futures.Future[Answer]) -> Answer:
        try:
            answer = self._find(key, make, flight)
        except BaseException as error:
            # What is raised into this thread, such as SystemExit, is not for the others.
            flight.set_exception(error if isinstance(error, Exception) else AnswerDelayed("it was not finished"))
            raise
        else:
            flight.set_result(answer)
            return answer
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]

    def _follow(self, key: str, flight: concurrent.futures.Future[Answer]) -> Answer:
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
        """Return what Redis has, or what is known here; that is fresh only while Redis cannot be asked."""
        local = self._copy(key)
        said = self._ask(lambda: self._fetch(key))
        if said is None:
            if local is not None and local.fresh:
                self._count("local")
            return local
        found = self._parse(key, *said)
        if found is not None:
            self._remember(key, found)
            if found.fresh:
                self._count("hit")
            return found
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
        """Ask for a value and how long it is still kept; for no more of the value than an answer may have."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.getrange(self._name(key), 0, LARGEST + 1_000)
        pipeline.pttl(self._name(key))
        said: list[Any] = pipeline.execute(raise_on_error=False)
        for one in said:
            if isinstance(one, redis.RedisError) and not str(one).startswith("WRONGTYPE"):
                raise one
        return said

    def _keep(self, key: str, answer: Answer, flight: concurrent.futures.Future[Answer]) -> None:
        fresh_for = self._ttl * (1 - self._jitter * random.random())  # noqa: S311 - no secret
        if len(answer.body) > LARGEST:
            self._count("skipped")
            return
        with self._lock:
            if self._flights.get(key) is not flight:
                return  # invalidated while it was made
        now, kept_for = time.monotonic(), fresh_for + self._stale_for
        self._remember(key, _Copy(answer, now + fresh_for, now + kept_for))
        self._ask(lambda: self._client.set(self._name(key), encode(key, answer), px=round(kept_for * 1000)))
        with self._lock:
            kept = self._flights.get(key) is flight
        if not kept:
            self.invalidate(key)

    def _ask(self, command: Callable[[], Any]) -> Any:
        """Return what Redis says to a command; None when it fails, which the next callers do not pay for."""
        if not self._breaker.admits():
            return None
        try:
            with deadline.within(self._within):
                said = command()
        except redis.exceptions.MaxConnectionsError:
            self._breaker.succeeded()  # not Redis's fault
            self._fail("busy")
        except (redis.RedisError, OSError) as error:
            reason = reason_of(error)
            (self._breaker.succeeded if reason in TAKES_NO_WRITES else self._breaker.failed)()
            self._fail(reason)
        except BaseException:
            self._breaker.failed()
            raise
        else:
            self._breaker.succeeded()
            return said
        return None

    def _remember(self, key: str, copy: _Copy) -> None:
        with self._lock:
            self._copies[key] = copy
            self._copies.move_to_end(key)
            while len(self._copies) > KEPT_HERE:
                self._copies.popitem(last=False)

    def _copy(self, key: str) -> _Copy | None:
        """Return what this process knows, if it may still be given at least as stale."""
        with self._lock:
            found = self._copies.get(key)
        return found if found is not None and time.monotonic() < found.kept_until else None

    def _stale(self, answer: Answer) -> Answer:
        self._count("stale")
        return replace(answer, stale=True)

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._errors[reason] += 1
