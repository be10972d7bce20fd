"""What a process knows of the time just before it started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.history.before import statuses
from service.settings import Address
from tests.service.history_kit import NOON, World
from tests.service.process import NOWHERE

NAMES = ["db", "cache", "new"]
NOBODY = Address("127.0.0.1", 1, "x", "", "0")


def test_the_newest_samples_say_how_each_component_was(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 2)
    world.rounds(recorder, 2, "fail")
    world.rounds(recorder, 1, "unknown")
    assert recorder.flush()
    assert statuses(world.settings, NAMES, world.clock.at) == {"db": "fail", "cache": "pass"}
    assert statuses(world.settings, ["db"], world.clock.at) == {"db": "fail"}


def test_without_the_database_the_samples_that_wait_in_redis_say_it(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 2)
    world.rounds(recorder, 2, "fail")
    recorder._spool.push()
    assert statuses(replace(world.settings, database=NOBODY), NAMES, world.clock.at) == {"db": "fail", "cache": "pass"}
    assert recorder.flush()
    assert statuses(replace(world.settings, cache=NOBODY), NAMES, world.clock.at) == {"db": "fail", "cache": "pass"}


def test_of_both_the_newer_sample_counts(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 3, "fail")
    assert recorder.flush()
    world.rounds(recorder, 1, "pass")
    recorder._spool.push()
    assert statuses(world.settings, ["db"], world.clock.at) == {"db": "pass"}
    assert recorder.flush()  # the stream is shared


@pytest.mark.parametrize(("after", "known"), [(119, {"db": "fail"}), (120, {})])
def test_what_was_long_before_says_nothing(world: World, after: float, known: dict[str, str]) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 1, "fail")
    assert recorder.flush()
    assert statuses(world.settings, ["db"], NOON + after) == known


def test_nothing_is_known_where_nobody_answers_and_where_there_is_no_schema(world: World) -> None:
    assert statuses(NOWHERE, NAMES, NOON) == {}
    assert statuses(replace(world.settings, database=replace(world.settings.database, name="postgres")), NAMES) == {}
