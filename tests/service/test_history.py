"""Samples on their way to the database while real servers stop and start; the clock is settable."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import pg8000.exceptions
import pytest

from service.history import writer
from service.history.recorder import Recorder
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.service.conftest import Server
from tests.service.history_kit import NOON, World, alone, make, queued

Servers = dict[str, tuple[Server, Address]]


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    with alone(settings) as found:
        yield found


def _accepts(world: World) -> bool:
    try:
        return bool(world.query("SELECT 1"))
    except (OSError, pg8000.exceptions.Error):
        return False


def test_round_is_stored_with_its_time(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 2, "pass")
    world.rounds(recorder, 1, "fail")
    assert recorder.flush()
    assert world.stored() == [(0, "pass"), (10, "pass"), (20, "fail")]
    assert world.stored("cache") == [(0, "pass"), (10, "pass"), (20, "pass")]
    assert (recorder.waiting, recorder.dropped, queued(world)) == (0, 0, 0)


def test_postgresql_outage_is_recorded_afterwards(world: World, servers: Servers) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 6, "pass")
    assert recorder.flush()
    servers["postgres"][0].stop()
    try:
        world.rounds(recorder, 60, "fail")
        assert not recorder.flush_now()
        assert (recorder.waiting, queued(world)) == (60, 60)
    finally:
        servers["postgres"][0].start()
    world.rounds(recorder, 6, "pass")
    eventually(recorder.flush_now, "the samples are written")
    expected = [(10 * n, "fail" if 6 <= n < 66 else "pass") for n in range(72)]
    assert world.stored() == expected
    assert world.incidents() == [(60, 660, "fail", "refused")]
    assert queued(world) == 0


def test_restart_between_writes_loses_nothing(world: World, servers: Servers) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 1)
    assert recorder.flush()
    server = servers["postgres"][0]
    server.stop()
    server.start()
    eventually(lambda: _accepts(world), "PostgreSQL takes connections")
    world.rounds(recorder, 1)
    assert recorder.flush()
    assert len(world.stored()) == 2


def test_samples_survive_outage_of_both_servers(world: World, servers: Servers) -> None:
    recorder = world.recorder()
    for server, _ in servers.values():
        server.stop()
    try:
        world.rounds(recorder, 30, "fail")
        assert not recorder.flush_now()
        servers["postgres"][0].start()
        eventually(recorder.flush_now, "the samples are written without Redis")
        assert len(world.stored()) == 30
    finally:
        for server, _ in servers.values():
            if server.process is None:
                server.start()
    world.rounds(recorder, 1)
    eventually(recorder.flush_now, "the next samples are written")
    assert [at for at, _ in world.stored()] == [10 * n for n in range(31)]
    assert recorder.dropped == 0


def test_death_between_commit_and_cleanup_counts_nothing_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> bool:
        raise Killed

    dying, other = world.recorder(), world.recorder()
    world.rounds(dying, 7, "fail")
    monkeypatch.setattr(dying._spool, "done", killed)
    with pytest.raises(Killed):
        dying.flush()
    assert len(world.stored()) == queued(world) == 7
    before = world.query("SELECT * FROM history_minute ORDER BY 1, 2"), world.query("SELECT * FROM history_incident")
    assert other.flush()
    assert before == (
        world.query("SELECT * FROM history_minute ORDER BY 1, 2"),
        world.query("SELECT * FROM history_incident"),
    )
    assert queued(world) == 0
    monkeypatch.undo()
    assert dying.flush()
    assert len(world.stored()) == 7


def test_concurrent_replicas_make_one_incident(world: World) -> None:
    replicas = [world.recorder(), world.recorder()]
    for status, count in (("pass", 12), ("fail", 12), ("pass", 12)):
        world.set("db", status, code="refused")
        for _ in range(count):
            for replica in replicas:
                replica.sample()
                world.clock.at += 5
        threads = [threading.Thread(target=replica.flush_now) for replica in replicas]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for replica in replicas:
        eventually(replica.flush_now, "the rest is written")
    assert world.incidents() == [(120, 240, "fail", "refused")]
    sums = world.query("SELECT sum(passed), sum(failed), sum(minutes) FROM history_minute WHERE component = 'db'")
    assert sums == [(48, 24, 6)]


def test_clock_step_backwards_keeps_every_sample(world: World) -> None:
    recorder = world.recorder()
    world.rounds(recorder, 6, "pass")
    world.clock.at = NOON
    world.rounds(recorder, 6, "pass")
    assert recorder.flush()
    assert [at for at, _ in world.stored()] == [0, 0, 10, 10, 20, 20, 30, 30, 40, 40, 50, 50]
    assert world.query("SELECT passed, minutes FROM history_minute WHERE component = 'db'") == [(12, 1)]


def test_recorder_waits_for_missing_schema(settings: Settings) -> None:
    world = World(replace(settings, stack=settings.database.name))
    recorder = world.recorder()
    world.rounds(recorder, 2)
    assert not recorder.flush_now()
    make(world.settings)
    assert recorder.flush_now()
    assert len(world.stored()) == 2
    recorder.close()


def test_invalid_sample_is_stored_in_part(world: World) -> None:
    recorder = world.recorder()
    world.set("db", "melting\0", float("nan"), "x\0" * 500 + "\ud800")
    world.set("cache", "pass", -1.0)
    world.rounds(recorder, 1)
    assert recorder.flush()
    found = world.query("SELECT component, status, latency_ms, length(code) FROM history_sample ORDER BY 1")
    assert found == [("cache", "pass", None, 0), ("db", "unknown", None, 100)]


def test_recorder_threads_take_and_write_samples(world: World) -> None:
    recorder = Recorder(replace(world.settings, sample_interval=0.02), lambda: world.samples)
    recorder.start()
    eventually(lambda: len(world.stored()) >= 5, "samples are stored")
    assert recorder.stop(20)
    # each round once, and none left out; on a slow machine two may have one time
    rounds, first, last = world.query(
        "SELECT count(DISTINCT sequence), min(sequence), max(sequence) FROM history_sample WHERE component = 'db'"
    )[0]
    assert len(world.stored()) == rounds == last + 1 >= 5
    assert first == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("history")]


def test_raising_reader_does_not_stop_the_recorder(world: World) -> None:
    calls = iter(range(1000))

    def read() -> dict[str, object]:
        if next(calls) < 3:
            raise RuntimeError("not now")
        return dict(world.samples)

    recorder = Recorder(replace(world.settings, sample_interval=0.02), read)  # type: ignore[arg-type]
    recorder.start()
    eventually(world.stored, "samples are stored")
    recorder.stop(20)


def test_hung_database_delays_neither_samples_nor_stop(
    world: World, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "TRANSACTION_TIMEOUT", 300.0)  # so that only the stop can end it
    recorder = Recorder(replace(world.settings, sample_interval=0.05), lambda: world.samples)
    recorder.start()
    eventually(world.stored, "samples are stored")
    process = servers["postgres"][0].process
    assert process is not None
    backends = world.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'stackhand-history'")
    hung = [process.pid, *(pid for (pid,) in backends)]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: recorder.waiting > 30, "samples go on")
        assert not recorder.stop(1.0)
        eventually(lambda: not any(thread.is_alive() for thread in recorder._threads), "the threads end", 10)
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    heir = world.recorder()
    assert eventually(heir.flush_now, "what was left in Redis is written")
