"""Incidents depend on the samples and on nothing else."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.database import connect
from service.history import store
from service.history.incidents import GAP, Incident, Point, Progress, certain_after, detect, pair, samples_needed
from service.history.samples import Round, Sample
from tests.checkout import eventually
from tests.service.history_kit import NOON, World

WORDS = {"p": "pass", "w": "warn", "f": "fail", "u": "unknown"}
FAR = GAP + 1


def points(pattern: str, start: float = 0.0) -> list[Point]:
    """Return samples 10 s apart; a dot is a gap."""
    found, at = [], start
    for letter in pattern:
        if letter == ".":
            at += FAR
        else:
            found.append(Point(at, WORDS[letter], letter))
            at += 10
    return found


def incidents(pattern: str, needed: int = 3) -> list[tuple[float, float | None, str, str]]:
    ended, state = detect(points(pattern), needed)
    found = [*ended, state.incident] if state.incident else ended
    return [(each.started_at, each.ended_at, each.worst, each.code) for each in found]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("ppffpp", [], id="two failures are no incident"),
        pytest.param("ppfff", [(20, None, "fail", "f")], id="three failures open it, from the first one"),
        pytest.param("ppfffpp", [(20, None, "fail", "f")], id="two passes do not close it"),
        pytest.param("ppfffppp", [(20, 50, "fail", "f")], id="three passes close it, at the first one"),
        pytest.param("fffppfppp", [(0, 60, "fail", "f")], id="a single pass keeps it open"),
        pytest.param("fpfpfpfpfp", [], id="flapping opens none"),
        pytest.param("fffpfpfpfpf", [(0, None, "fail", "f")], id="flapping closes none"),
        pytest.param("wwwppp", [(0, 30, "warn", "w")], id="degraded"),
        pytest.param("wwfppp", [(0, 30, "fail", "w")], id="the worst, and the code of the first"),
        pytest.param("wwwwwfppp", [(0, 60, "fail", "w")], id="it becomes worse later"),
        pytest.param("ff.fpp", [], id="a gap opens none"),
        pytest.param("fff.pp", [(0, None, "fail", "f")], id="a gap closes none"),
        pytest.param("fffpp.p", [(0, None, "fail", "f")], id="passes before a gap do not count after it"),
        pytest.param("fff.ppp", [(0, 30 + FAR, "fail", "f")], id="it ends when passes are seen, not in the gap"),
        pytest.param("ff.fff", [(20 + FAR, None, "fail", "f")], id="failures before a gap do not count after it"),
        pytest.param("fffpppfffppp", [(0, 30, "fail", "f"), (60, 90, "fail", "f")], id="two"),
    ],
)
def test_incident_rule(pattern: str, expected: list[tuple[float, float | None, str, str]]) -> None:
    assert incidents(pattern) == expected


def test_incident_needs_half_a_minute_of_samples() -> None:
    assert [samples_needed(interval) for interval in (1, 5, 10, 15, 30)] == [30, 6, 3, 2, 2]


@given(st.text("pwf.", max_size=60), st.integers(1, 4), st.lists(st.integers(0, 60), max_size=5))
def test_detection_is_independent_of_splits(pattern: str, needed: int, cuts: list[int]) -> None:
    every = points(pattern)
    whole = detect(every, needed)
    ended: list[Incident] = []
    state = Progress()
    edges = [0, *sorted(min(cut, len(every)) for cut in cuts), len(every)]
    for first, last in pairwise(edges):
        more, state = detect(every[first:last], needed, state)
        ended += more
    assert (ended, state) == whole


@given(st.text("pwf.", max_size=60), st.integers(1, 4), st.booleans())
def test_certain_state_ignores_earlier_samples(pattern: str, needed: int, passing_only: bool) -> None:
    every = points(pattern)
    number = certain_after(every, needed, passing_only=passing_only)
    if number is None:
        return
    _, state = detect(every[:number], needed)
    assert (state.incident is not None) == every[number - 1].troubled
    assert state.run == ()
    assert not (passing_only and state.incident)


@given(st.text("pf.", max_size=60), st.text("pf.", max_size=60))
def test_pairing_uses_every_incident_once_in_order(before: str, after: str) -> None:
    def of(pattern: str) -> list[Incident]:
        ended, state = detect(points(pattern), 2)
        return [*ended, state.incident] if state.incident else ended

    stored, found = of(before), of(after)
    pairs = pair(stored, found)
    assert [incident for _, incident in pairs if incident] == found
    assert sorted(number for number, _ in pairs if number is not None) == list(range(len(stored)))
    kept = [number for number, incident in pairs if number is not None and incident]
    assert kept == sorted(kept)
    if before == after:
        assert pairs == list(enumerate(found))


def rounds(pattern: str, instances: Sequence[str]) -> list[Round]:
    """Return one round a sample, by turns of the instances."""
    letters = [letter for letter in pattern if letter != "."]
    times = [point.at for point in points(pattern)]
    return [
        Round(instances[n % len(instances)], n, NOON + at, (Sample("db", WORDS[letter], 1.0, letter),))
        for n, (at, letter) in enumerate(zip(times, letters, strict=True))
    ]


def write(world: World, batches: Sequence[Sequence[Round]], needed: int = 3) -> None:
    connection = connect(world.settings.database, 10)
    try:
        for batch in batches:
            connection.run("BEGIN")
            store.write(connection, batch, needed)
            connection.run("COMMIT")
    finally:
        connection.close()


def test_incidents_are_independent_of_arrival_order(world: World) -> None:
    @hypothesis_settings(max_examples=30)
    @given(st.text("pwfu.", min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 12), st.randoms())
    def check(pattern: str, instances: int, size: int, chance: random.Random) -> None:
        world.clear()
        every = rounds(pattern, [str(uuid.UUID(int=n + 1)) for n in range(instances)])
        chance.shuffle(every)
        batches = [every[first : first + size] for first in range(0, len(every), size)]
        batches += [chance.sample(every, min(len(every), size))]  # one that was there before
        if every:
            write(world, batches)
        known = [point for point in points(pattern) if point.status != "unknown"]
        ended, state = detect(known, 3)
        found = [*ended, state.incident] if state.incident else ended
        assert world.incidents() == [(each.started_at, each.ended_at, each.worst, each.code) for each in found]

    check()


def test_long_outage_is_one_incident_in_any_order(world: World) -> None:
    every = rounds("ppp" + "f" * 3000 + "ppp", [str(uuid.uuid4())])
    late = every[1500]
    write(world, [every[:1000], every[1000:1500], every[1501:2900], [late], every[2900:]])
    assert world.incidents() == [(30, 30030, "fail", "f")]
    assert world.query("SELECT sum(failed), sum(passed) FROM history_minute") == [(3000, 6)]


def test_late_sample_moves_start_and_keeps_id_and_note(world: World) -> None:
    every = rounds("pppffffff", [str(uuid.uuid4())])
    write(world, [every[:3], every[4:]])
    world.run("UPDATE history_incident SET note = 'the disk was full'")
    before = world.query("SELECT id, note FROM history_incident")
    assert world.incidents() == [(40, None, "fail", "f")]
    write(world, [every[3:4]])
    assert world.incidents() == [(30, None, "fail", "f")]
    assert world.query("SELECT id, note FROM history_incident") == before


def test_late_passing_samples_split_an_incident(world: World) -> None:
    ours, theirs = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    write(world, [rounds("ffff.ffff", [ours])])
    assert world.incidents() == [(0, None, "fail", "f")]
    middle = [Round(theirs, n, NOON + 50 + 10 * n, (Sample("db", "pass"),)) for n in range(3)]
    write(world, [middle])
    assert world.incidents() == [(0, 50, "fail", "f"), (40 + FAR, None, "fail", "f")]


def test_incident_outlives_its_first_samples(world: World) -> None:
    every = rounds("pppfffffffppp", [str(uuid.uuid4())])
    write(world, [every[:8]])
    world.run(f"DELETE FROM history_sample WHERE at < to_timestamp({NOON + 70})")
    write(world, [every[8:]])
    assert world.incidents() == [(30, 100, "fail", "f")]


def test_unchanged_incident_is_not_written(world: World) -> None:
    every = rounds("pppfff", [str(uuid.uuid4())])
    write(world, [every])
    before = world.query("SELECT xmin::text, updated_at FROM history_incident")
    write(world, [every, every[3:]])
    write(world, [[replace(every[-1], sequence=99, at=every[-1].at + 10)]])
    assert world.query("SELECT xmin::text, updated_at FROM history_incident") == before


def test_late_passing_samples_remove_an_incident(world: World) -> None:
    write(world, [rounds("fff", [str(uuid.UUID(int=1))])])
    assert world.incidents() == [(0, None, "fail", "f")]
    between = [Round(str(uuid.UUID(int=2)), n, NOON + 5 + 10 * n, (Sample("db", "pass"),)) for n in range(2)]
    write(world, [between])
    assert world.incidents() == []


def test_split_incident_keeps_no_later_worst_state(world: World) -> None:
    write(world, [rounds("wwwwfff", [str(uuid.UUID(int=1))])])
    assert world.incidents() == [(0, None, "fail", "w")]
    between = [Round(str(uuid.UUID(int=2)), n, NOON + 31 + n, (Sample("db", "pass"),)) for n in range(3)]
    write(world, [between])
    assert world.incidents() == [(0, 31, "warn", "w"), (40, None, "fail", "f")]


def test_concurrent_writers_wait_for_each_other(world: World) -> None:
    first, second = rounds("pp", [str(uuid.uuid4())])
    slow = connect(world.settings.database, 10)
    other = threading.Thread(target=write, args=(world, [[second]]))
    try:
        slow.run("BEGIN")
        store.write(slow, [first], 3)
        other.start()
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually(lambda: world.query(waiting), "the other one waits")
        slow.run("COMMIT")
        other.join()
    finally:
        slow.close()
    assert world.query("SELECT passed FROM history_minute") == [(2,)]
