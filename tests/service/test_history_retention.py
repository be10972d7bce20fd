"""Expired history is removed by kind, and recent history stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.database import connect
from service.history import retention
from tests.service.history_kit import NOON, World, fails, write

DAY = 86400


def tidy(world: World, now: float, **days: int) -> int | None:
    connection = connect(world.settings.database, 10)

    @contextmanager
    def transaction() -> Iterator[Any]:
        connection.run("BEGIN")
        yield connection
        connection.run("COMMIT")

    try:
        return retention.tidy(transaction, now, **({"minutes_days": 14, "days": 400} | days))
    finally:
        connection.close()


def count(world: World, table: str) -> int:
    return int(world.query(f"SELECT count(*) FROM history_{table}")[0][0])


def test_expired_rows_are_removed_by_kind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    ages = [0, 2, 4, 13, 15, 399, 401]
    for age in ages:
        write(world, [(at - age * DAY, status, ms) for at, status, ms in fails(0)], f"c{age}")
    assert tidy(world, NOON + 60) == 5 * 6 + 3 + 1 + 1
    left = {
        table: sorted(int(name[1:]) for (name,) in world.query(f"SELECT DISTINCT component FROM history_{table}"))
        for table in ("sample", "minute", "hour", "incident")
    }
    assert left == {
        "sample": [0, 2],
        "minute": [0, 2, 4, 13],
        "hour": [0, 2, 4, 13, 15, 399],
        "incident": [0, 2, 4, 13, 15, 399],
    }


def test_open_incident_never_expires(world: World) -> None:
    write(world, [(at - 500 * DAY, "fail", 1.0) for at in (0, 10, 20)])
    tidy(world, NOON)
    assert (count(world, "sample"), count(world, "incident")) == (0, 1)


def test_expired_statistics_are_removed_once_an_hour(world: World) -> None:
    assert tidy(world, NOON) == 0
    assert tidy(world, NOON + 3599) is None
    assert tidy(world, NOON + 3600) == 0


def test_fast_clock_removes_no_recent_history(world: World) -> None:
    write(world, [(time.time() - NOON, "pass", 1.0)])
    tidy(world, time.time() + 1000 * DAY)
    assert [count(world, table) for table in ("sample", "minute", "hour")] == [1, 1, 1]


def test_overdue_sample_is_refused_and_its_minute_kept(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 6)
    assert recorder.flush()
    world.clock.at += 4 * DAY
    assert recorder.flush()  # removes what is old
    world.rounds(recorder, 1)
    late = world.recorder()
    world.clock.at = NOON + 30
    world.rounds(late, 1, "fail")
    assert late.flush()
    assert (late.dropped, count(world, "sample")) == (1, 0)
    assert world.query("SELECT passed, failed FROM history_minute WHERE component = 'db'") == [(6, 0)]
