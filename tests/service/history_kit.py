"""Fixtures for tests of the history: a settable clock, and recorders that run on demand."""

from __future__ import annotations

import os
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import redis

from service import redis_client
from service.database import connect, connect_patiently
from service.history import store
from service.history.recorder import Recorder
from service.history.samples import Round, Sample
from service.history.spool import key
from service.history.statistics import BOUNDS
from service.migration import migrate
from service.settings import Address, Settings

INSTANCE = str(uuid.UUID(int=1))
NOON = datetime(2025, 3, 11, 12, 0, tzinfo=UTC).timestamp()


class Clock:
    """A wall clock that tests set."""

    def __init__(self, at: float = NOON) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class World:
    """The components of a test, a clock, and recorders that look at them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.samples = {name: Sample(name, "pass", 1.2) for name in ("cache", "db")}
        self.recorders: list[Recorder] = []

    def recorder(self, **options: Any) -> Recorder:
        found = Recorder(self.settings, lambda: self.samples, now=self.clock, **options)
        self.recorders.append(found)
        return found

    def set(self, component: str, status: str, latency_ms: float | None = 1.2, code: str = "") -> None:
        self.samples[component] = Sample(component, status, latency_ms, code)

    def rounds(self, recorder: Recorder, count: int, status: str = "", seconds: float = 10.0) -> None:
        """Take rounds of samples, one every `seconds`; with `status`, db has that from now on."""
        if status:
            self.set("db", status, code="" if status == "pass" else "refused")
        for _ in range(count):
            recorder.sample()
            self.clock.at += seconds

    def query(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Do what `Pool.query` does, on a connection of its own."""
        connection = connect(self.settings.database, 10, dbapi=True)
        try:
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def run(self, sql: str) -> None:
        connection = connect(self.settings.database, 10)
        try:
            connection.run(sql)
        finally:
            connection.close()

    def stored(self, component: str = "db") -> list[tuple[float, str]]:
        """Return time, since the clock's start, and status of the stored samples."""
        sql = (
            "SELECT CAST(extract(epoch FROM at) AS double precision), status FROM history_sample"
            " WHERE component = %s ORDER BY at, instance, sequence"
        )
        return [(round(at - NOON, 3), status) for at, status in self.query(sql, (component,))]

    def incidents(self, component: str = "db") -> list[tuple[float, float | None, str, str]]:
        """Return start and end, since the clock's start, worst state and code."""
        sql = (
            "SELECT extract(epoch FROM started_at), extract(epoch FROM ended_at), worst, code FROM history_incident"
            " WHERE component = %s ORDER BY started_at"
        )

        def since(at: Any) -> Any:
            return None if at is None else round(float(at) - NOON, 3)

        return [
            (since(start) or 0.0, since(end), worst, code) for start, end, worst, code in self.query(sql, (component,))
        ]

    def clear(self) -> None:
        self.run(
            "TRUNCATE history_sample, history_minute, history_hour, history_incident;"
            "UPDATE history_state SET complete_from = '-infinity', tidied_at = '-infinity'"
        )

    def close(self) -> None:
        for recorder in self.recorders:
            recorder.close()


@contextmanager
def shared(at: Address, cache: Address) -> Iterator[Settings]:
    """Give settings for a database with the schema, which the tests of a file share; `World.clear` empties it."""
    name = f"history_{os.getpid()}_{time.monotonic_ns()}"
    _as_root(at, f"CREATE DATABASE {name}")
    settings = Settings("127.0.0.1", 0, replace(at, name=name), cache, database_wait=20, stack=name)
    migrate.apply(settings, migrate.read())
    yield settings
    _as_root(at, f"DROP DATABASE {name} WITH (FORCE)")


def _as_root(at: Address, sql: str) -> None:
    connection = connect_patiently(replace(at, name="postgres"), 20)
    connection.run(sql)
    connection.close()


def make(settings: Settings) -> World:
    """Return a world whose database has the schema."""
    migrate.apply(settings, migrate.read())
    return World(settings)


@contextmanager
def alone(settings: Settings) -> Iterator[World]:
    """Give a world with a database and a stream of its own."""
    found = make(replace(settings, stack=settings.database.name))
    yield found
    found.close()


def stream(world: World) -> redis.Redis:
    return redis_client.client(world.settings.cache, timeout=5)


def queued(world: World) -> int:
    with stream(world) as client:
        return int(client.xlen(key(world.settings.stack)))


def write(world: World, samples: list[tuple[float, str, float | None]], component: str = "db") -> None:
    """Store samples: seconds since noon, status, latency."""
    made = [
        Round(INSTANCE, n, NOON + at, (Sample(component, status, latency),))
        for n, (at, status, latency) in enumerate(samples)
    ]
    connection = connect(world.settings.database, 10)
    try:
        connection.run("BEGIN")
        store.write(connection, made, 3)
        connection.run("COMMIT")
    finally:
        connection.close()


def fails(start: float, count: int = 3, end: str = "pass") -> list[tuple[float, str, float | None]]:
    """Return samples of which the first ones fail."""
    return [(start + 10 * n, "fail" if n < count else end, 1.0) for n in range(count + 3)]


def classify(latency_ms: float) -> int:
    """Return the histogram class of a latency, as PostgreSQL's width_bucket does: 0 is below the first bound."""
    return bisect_right(BOUNDS, latency_ms)
