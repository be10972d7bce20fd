"""The queue of samples in memory and in a Redis stream: its bounds, and foreign entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.history.samples import Sample
from service.history.spool import key
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.service.conftest import Server
from tests.service.history_kit import World, alone, queued, stream

Servers = dict[str, tuple[Server, Address]]


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with alone(settings) as found:
        yield found


def test_rounds_of_dead_process_are_written_by_another(world: World) -> None:
    dead, other = world.recorder(), world.recorder()
    world.rounds(dead, 5, "fail")
    dead._spool.push()
    world.rounds(other, 1, "pass")
    assert other.flush()
    assert [status for _, status in world.stored()] == ["fail"] * 5 + ["pass"]
    assert queued(world) == 0


def test_redis_data_loss_in_outage_loses_no_samples(world: World, servers: Servers) -> None:
    recorder = world.recorder()
    servers["postgres"][0].stop()
    try:
        world.rounds(recorder, 5, "fail")
        assert not recorder.flush_now()
        with stream(world) as client:
            client.delete(key(world.settings.stack))
        assert not recorder.flush_now()
        assert queued(world) == 5
    finally:
        servers["postgres"][0].start()
    eventually(recorder.flush_now, "the samples are written")
    assert len(world.stored()) == 5


def test_memory_is_bounded_and_drops_oldest_rounds(world: World, servers: Servers) -> None:
    servers["redis"][0].stop()
    try:
        recorder = world.recorder(memory_rounds=10)
        world.rounds(recorder, 25)
        assert (recorder.waiting, recorder.dropped) == (10, 15)
        recorder.flush()
    finally:
        servers["redis"][0].start()
    assert [at for at, _ in world.stored()] == [10 * n for n in range(15, 25)]


def test_round_dropped_from_memory_survives_in_redis(world: World) -> None:
    recorder = world.recorder(memory_rounds=3)
    for _ in range(4):
        world.rounds(recorder, 2)
        recorder._spool.push()
    assert (recorder.waiting, recorder.dropped) == (3, 0)
    assert recorder.flush()
    assert len(world.stored()) == 8


def test_stream_is_bounded_and_losses_counted(world: World) -> None:
    recorder = world.recorder(memory_rounds=1, stream_rounds=100)
    for _ in range(400):
        world.rounds(recorder, 1)
        recorder._spool.push()
    assert queued(world) < 400
    assert recorder.dropped == 400 - queued(world)


def test_invalid_stream_entries_are_removed(world: World) -> None:
    with stream(world) as client:
        for value in ("", "[", "[]", "{}", '{"instance":"x","sequence":0,"at":0,"readings":[]}', "1e999"):
            client.xadd(key(world.settings.stack), {"round": value})
        client.xadd(key(world.settings.stack), {"other": "1"})
    recorder = world.recorder()
    world.rounds(recorder, 1)
    assert recorder.flush()
    assert (len(world.stored()), queued(world), recorder.dropped) == (1, 0, 7)


def test_refused_round_blocks_no_other(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 4)
    broken = recorder._spool._memory[recorder.instance, 2]
    unusable = replace(broken, samples=(Sample("db", "pass", 1.0, "\0"), *broken.samples[1:]))
    recorder._spool._memory[recorder.instance, 2] = unusable
    assert recorder.flush()
    assert [at for at, _ in world.stored()] == [0, 10, 30]
    assert (recorder.dropped, recorder.waiting) == (1, 0)


def test_foreign_redis_key_blocks_nothing(world: World) -> None:
    with stream(world) as client:
        client.set(key(world.settings.stack), "something else")
    recorder = world.recorder()
    world.rounds(recorder, 3)
    recorder.flush_now()
    assert len(world.stored()) == 3
