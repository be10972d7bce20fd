"""The last known status before the start of a process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.history.last_known import statuses
from service.settings import Address
from tests.service.history_kit import NOON, World
from tests.service.process import NOWHERE

NAMES = ["db", "cache", "new"]
NOBODY = Address("127.0.0.1", 1, "x", "", "0")


def test_last_known_status_comes_from_newest_samples(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 2)
    world.rounds(recorder, 2, "fail")
    world.rounds(recorder, 1, "unknown")
    assert recorder.flush()
    assert statuses(world.settings, NAMES, world.clock.at) == {"db": "fail", "cache": "pass"}
    assert statuses(world.settings, ["db"], world.clock.at) == {"db": "fail"}


def test_last_known_status_comes_from_redis_without_database(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 2)
    world.rounds(recorder, 2, "fail")
    recorder._spool.push()
    assert statuses(replace(world.settings, database=NOBODY), NAMES, world.clock.at) == {"db": "fail", "cache": "pass"}
    assert recorder.flush()
    assert statuses(replace(world.settings, cache=NOBODY), NAMES, world.clock.at) == {"db": "fail", "cache": "pass"}


def test_last_known_status_prefers_the_newer_source(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 3, "fail")
    assert recorder.flush()
    world.rounds(recorder, 1, "pass")
    recorder._spool.push()
    assert statuses(world.settings, ["db"], world.clock.at) == {"db": "pass"}
    assert recorder.flush()  # the stream is shared


@pytest.mark.parametrize(("after", "known"), [(119, {"db": "fail"}), (120, {})])
def test_last_known_status_ignores_old_samples(world: World, after: float, known: dict[str, str]) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 1, "fail")
    assert recorder.flush()
    assert statuses(world.settings, ["db"], NOON + after) == known


def test_last_known_status_is_empty_without_servers_or_schema(world: World) -> None:
    assert statuses(NOWHERE, NAMES, NOON) == {}
    assert statuses(replace(world.settings, database=replace(world.settings.database, name="postgres")), NAMES) == {}
