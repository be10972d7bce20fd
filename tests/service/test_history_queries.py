"""What pages read of the history, against figures that the test computes by itself."""

from __future__ import annotations

import json
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.database import connect
from service.history import documents, queries, reports, retention, store
from service.history.figures import BOUNDS, CLASSES, classify, percentile
from service.history.samples import Reading, Round, decode, encode, take
from service.history.windows import WINDOWS, iso, parse_window
from service.pool import Pool
from service.settings import Address, Settings
from tests.service.conftest import Server
from tests.service.history_kit import NOON, World, shared

DAY = 86400
INSTANCE = str(uuid.UUID(int=1))


@pytest.fixture(scope="module")
def schema(servers: dict[str, tuple[Server, Address]]) -> Iterator[Settings]:
    with shared(servers["postgres"][1], servers["redis"][1]) as found:
        yield found


@pytest.fixture
def world(schema: Settings) -> Iterator[World]:
    found = World(schema)
    found.clear()
    yield found
    found.close()


def write(world: World, samples: list[tuple[float, str, float | None]], component: str = "db") -> None:
    """Store samples: seconds since noon, status, latency."""
    made = [
        Round(INSTANCE, n, NOON + at, (Reading(component, status, latency),))
        for n, (at, status, latency) in enumerate(samples)
    ]
    connection = connect(world.settings.database, 10)
    try:
        connection.run("BEGIN")
        store.write(connection, made, 3)
        connection.run("COMMIT")
    finally:
        connection.close()


def bucket(document: dict[str, Any], at: float) -> dict[str, Any]:
    (found,) = [each for each in document["buckets"] if each["start"] <= iso(NOON + at) < each["end"]]
    return found


@pytest.mark.parametrize(("name", "count", "seconds"), [("24h", 96, 900), ("7d", 84, 7200), ("90d", 90, DAY)])
def test_a_window_has_its_buckets_however_little_is_known(world: World, name: str, count: int, seconds: int) -> None:
    found = queries.history(world.query, "db", WINDOWS[name], NOON)
    assert (len(found["buckets"]), found["bucket_seconds"]) == (count, seconds)
    assert {each["state"] for each in found["buckets"]} == {"no_data"}
    ends = [each["end"] for each in found["buckets"]]
    assert [each["start"] for each in found["buckets"]] == [found["start"], *ends[:-1]]
    assert ends[-1] == found["end"] > found["now"] == "2025-03-11T12:00:00.000Z"
    assert found["uptime"]["percent"] is None
    assert found["uptime"]["coverage"] == 0
    assert found["p50_ms"] is found["p95_ms"] is None


def test_a_gap_is_no_data_and_part_of_a_bucket_says_how_much(world: World) -> None:
    write(world, [(-3600 + 10 * n, "pass", 1.0) for n in range(30)])  # five minutes, an hour ago
    found = queries.history(world.query, "db", WINDOWS["24h"], NOON)
    part = bucket(found, -3600)
    assert (part["state"], part["samples"], part["failed"], part["coverage"]) == ("pass", 30, 0, 0.333)
    assert bucket(found, -3600 + 900)["state"] == "no_data"
    assert bucket(found, -3600 + 900)["coverage"] == 0
    assert found["uptime"]["percent"] == 100
    assert found["uptime"]["coverage"] == 0.003  # five minutes of a day
    assert "neither as up nor as down" in found["uptime"]["definition"]


def test_the_bucket_that_has_just_begun_is_covered_by_what_it_can_have(world: World) -> None:
    write(world, [(0.0, "pass", 1.0), (10.0, "pass", 1.0)])
    now = bucket(queries.history(world.query, "db", WINDOWS["24h"], NOON + 15), 0)
    assert (now["state"], now["coverage"]) == ("pass", 1)


@pytest.mark.parametrize(
    ("statuses", "state", "failed", "percent"),
    [
        (["pass"] * 20, "pass", 0, 100),
        (["pass"] * 19 + ["warn"], "warn", 0, 100),
        (["pass"] * 19 + ["fail"], "warn", 1, 95),
        (["pass"] * 17 + ["fail"] * 3, "fail", 3, 85),
        (["fail", "pass"], "fail", 1, 50),
        (["unknown"] * 3, "no_data", 0, None),
        (["pass", "unknown"], "pass", 0, 100),
        (["pass"] * 2 + ["fail"], "warn", 1, 66.666),
    ],
)
def test_a_bucket_has_the_state_of_its_samples(
    world: World, statuses: list[str], state: str, failed: int, percent: float | None
) -> None:
    write(world, [(n, status, 1.0) for n, status in enumerate(statuses)])
    found = queries.history(world.query, "db", WINDOWS["24h"], NOON + 60)
    now = bucket(found, 0)
    assert (now["state"], now["failed"]) == (state, failed)
    assert now["samples"] == len(statuses) - statuses.count("unknown")
    assert found["uptime"]["percent"] == percent
    assert (
        documents.status_document(world.query, {"status": "pass"}, ["db"], NOON + 60)["uptime"]["db"]
        == (found["uptime"])
    )


def test_figures_of_minutes_and_hours_are_those_of_the_samples(world: World) -> None:
    chance = random.Random(7)
    samples = [
        (
            10.0 * n + chance.random(),
            chance.choice(["pass"] * 8 + ["warn", "fail", "unknown"]),
            chance.choice([None, chance.lognormvariate(1, 2)]),
        )
        for n in range(1500)
    ]
    write(world, samples)
    for table, column, length in (("minute", "minute", 60), ("hour", "hour", 3600)):
        rows = world.query(
            f"SELECT CAST(extract(epoch FROM {column}) AS integer), passed, warned, failed, unknown, minutes,"
            f" latency_sum_ms, latency_max_ms, histogram FROM history_{table} ORDER BY 1"
        )
        groups: dict[int, list[tuple[float, str, float | None]]] = {}
        for sample in samples:
            groups.setdefault(int(sample[0] // length), []).append(sample)
        assert [int(row[0] - NOON) // length for row in rows] == sorted(groups)
        for row, (_, group) in zip(rows, sorted(groups.items()), strict=True):
            statuses = [status for _, status, _ in group]
            assert list(row[1:5]) == [statuses.count(each) for each in ("pass", "warn", "fail", "unknown")]
            assert row[5] == len({at // 60 for at, status, _ in group if status != "unknown"})
            latencies = [ms for _, status, ms in group if ms is not None and status in {"pass", "warn"}]
            assert row[6] == pytest.approx(sum(latencies))
            assert row[7] == max(latencies, default=None)
            histogram = [0] * CLASSES
            for ms in latencies:
                histogram[classify(ms)] += 1
            assert row[8] == histogram


@given(st.lists(st.floats(0, 20_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_in_the_class_of_the_true_one(latencies: list[float], share: float) -> None:
    histogram = [0] * CLASSES
    for latency in latencies:
        histogram[classify(latency)] += 1
    largest = max(latencies)
    found = percentile(histogram, share, largest)
    assert found is not None
    number = max(0, -(-int(share * 1000) * len(latencies) // 1000) - 1)
    true = sorted(latencies)[number]
    low = max((bound for bound in BOUNDS if bound <= true), default=0.0)
    high = min([*(bound for bound in BOUNDS if bound > true), largest])
    assert low - 0.01 <= found <= max(high, low) + 0.01
    assert found <= round(largest, 2)


def test_percentiles_of_an_hour_are_near_the_true_ones(world: World) -> None:
    chance = random.Random(3)
    latencies = [chance.lognormvariate(1, 1) for _ in range(360)]
    write(world, [(10.0 * n, "pass", ms) for n, ms in enumerate(latencies)])
    write(world, [(5.0, "fail", 1000.0)], "other")
    found = queries.history(world.query, "db", WINDOWS["7d"], NOON + 3600)
    true = statistics.quantiles(latencies, n=20, method="inclusive")
    assert found["p50_ms"] == pytest.approx(true[9], rel=0.1)
    assert found["p95_ms"] == pytest.approx(true[18], rel=0.1)
    assert bucket(found, 0)["p50_ms"] == found["p50_ms"]


def test_failed_samples_have_no_part_in_latencies(world: World) -> None:
    write(world, [(0, "pass", 40.0), (10, "fail", 0.1), (20, "fail", 0.1)])
    found = queries.history(world.query, "db", WINDOWS["24h"], NOON + 60)
    assert found["p50_ms"] > 30


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile([0] * CLASSES, 0.5) is None
    assert percentile((), 0.5) is None


def test_the_same_figures_in_every_window(world: World) -> None:
    write(world, [(60.0 * n, "fail" if n % 7 == 0 else "pass", 2.0) for n in range(-600, 0)])
    found = [queries.history(world.query, "db", window, NOON) for window in WINDOWS.values()]
    assert (
        len({(each["uptime"]["percent"], each["uptime"]["samples"], each["uptime"]["failed"]) for each in found}) == 1
    )
    assert len({(each["p50_ms"], each["p95_ms"]) for each in found}) == 1
    for each in found:
        assert sum(part["samples"] for part in each["buckets"]) == 600


def test_names_are_never_part_of_the_sql(world: World) -> None:
    name = "x'; DROP TABLE history_minute; --"
    write(world, [(0, "pass", 1.0)], name)
    assert queries.history(world.query, name, WINDOWS["24h"], NOON + 1)["uptime"]["samples"] == 1
    assert [each["name"] for each in queries.components(world.query)] == [name]


def test_components_are_listed_with_their_time(world: World) -> None:
    for name in ("db", "cache", "web"):
        write(world, [(0, "pass", 1.0), (7200, "pass", 1.0)], name)
    assert queries.components(world.query) == [
        {"name": name, "since": "2025-03-11T12:00:00.000Z", "last_sample": "2025-03-11T14:00:00.000Z"}
        for name in ("cache", "db", "web")
    ]


def fails(start: float, count: int = 3, end: str = "pass") -> list[tuple[float, str, float | None]]:
    return [(start + 10 * n, "fail" if n < count else end, 1.0) for n in range(count + 3)]


def test_incidents_come_page_by_page_the_newest_first(world: World) -> None:
    for number in range(7):
        write(world, fails(-1000.0 * (number + 1)), "db" if number % 2 else "cache")
    pages, mark = [], None
    while True:
        page = reports.incidents(world.query, 3, mark, NOON)
        pages.append([each["started_at"] for each in page["incidents"]])
        mark = page["next"]
        if mark is None:
            break
        world.run("DELETE FROM history_incident WHERE started_at = (SELECT max(started_at) FROM history_incident)")
    every = [at for page in pages for at in page]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert every == sorted(every, reverse=True)
    assert len(set(every)) == 7


def test_an_incident_says_what_it_was(world: World) -> None:
    write(world, fails(-60))
    (found,) = reports.incidents(world.query, 10, None, NOON)["incidents"]
    assert found | {"id": 0, "updated_at": ""} == {
        "id": 0,
        "component": "db",
        "state": "fail",
        "code": "",
        "started_at": "2025-03-11T11:59:00.000Z",
        "ended_at": "2025-03-11T11:59:30.000Z",
        "duration_s": 30,
        "note": "",
        "updated_at": "",
    }


@pytest.mark.parametrize("mark", ["", "x", "1", "1-", "-1", "1-2-3", "1" * 15 + "-1", "٣-1", "1-1\n"])
def test_a_mark_that_is_none_is_refused(world: World, mark: str) -> None:
    with pytest.raises(ValueError, match="not the `next` of a page"):
        reports.incidents(world.query, 10, mark, NOON)


@pytest.mark.parametrize("limit", [-5, 0, 1, 10**9])
def test_a_page_is_bounded(world: World, limit: int) -> None:
    world.run(
        "INSERT INTO history_incident (component, started_at, ended_at, worst, code)"
        " SELECT 'db', now() - n * interval '1 hour', now(), 'fail', '' FROM generate_series(1, 150) AS n"
    )
    assert len(reports.incidents(world.query, limit, None, NOON)["incidents"]) == (100 if limit > 1 else 1)


def test_the_status_has_uptime_of_all_and_open_incidents_of_those_looked_at(world: World) -> None:
    write(world, fails(-60, end="fail"), "db")
    write(world, fails(-60, end="fail"), "gone")
    write(world, fails(-60), "cache")
    found = documents.status_document(world.query, {"status": "fail"}, ["db", "cache", "new"], NOON)
    assert found["status"] == "fail"
    assert [(each["component"], each["ended_at"], each["duration_s"]) for each in found["incidents"]] == [
        ("db", None, 60)
    ]
    assert {name: each["percent"] for name, each in found["uptime"].items()} == {"db": 0, "cache": 50, "new": None}


def test_a_note_is_kept_and_bounded(world: World) -> None:
    write(world, fails(-60))
    identity = reports.incidents(world.query, 1, None, NOON)["incidents"][0]["id"]
    pool = Pool(world.settings.database)
    try:
        assert reports.set_note(pool, identity, " A disk was full: 'quoted'; 🙂 ")
        assert reports.incidents(pool.query, 1, None, NOON)["incidents"][0]["note"] == "A disk was full: 'quoted'; 🙂"
        assert reports.set_note(pool, identity, "x" * 2000)
        with pytest.raises(ValueError, match="2000 characters, but it has 2001"):
            reports.set_note(pool, identity, "x" * 2001)
        for bad in ("a\0b", "a\ud800b"):
            with pytest.raises(ValueError, match="cannot be stored"):
                reports.set_note(pool, identity, bad)
        for unknown in (identity + 1, 0, -1, 2**63, 10**30):
            assert not reports.set_note(pool, unknown, "?")
    finally:
        pool.close()


@given(st.text(max_size=20))
def test_only_the_names_of_windows_are_windows(text: str) -> None:
    if text in WINDOWS:
        assert parse_window(text).name == text
    else:
        with pytest.raises(ValueError, match="must be one of 24h, 7d, 90d"):
            parse_window(text)


@given(st.sampled_from(sorted(WINDOWS)), st.floats(0, 4e9))
def test_now_is_in_the_last_bucket(name: str, now: float) -> None:
    window = parse_window(name)
    start, end = window.bounds(now)
    assert end - window.bucket <= now < end
    assert end - start == window.bucket * window.count
    assert start % window.bucket == 0


@given(
    st.integers(0, 2**31 - 1),
    st.floats(0, 32_503_680_000),
    st.lists(st.builds(Reading, st.text(), st.text(), st.none() | st.floats(), st.text(max_size=200)), max_size=5),
)
def test_a_round_arrives_as_it_was_sent(sequence: int, at: float, readings: list[Reading]) -> None:
    sent = take(INSTANCE, sequence, at, readings)
    assert decode(encode(sent)) == sent


@given(st.binary(max_size=60) | st.text(max_size=60) | st.recursive(st.none() | st.integers(), st.lists).map(str))
def test_anything_else_is_no_round(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 1.5},
        {"sequence": True},
        {"sequence": 2**31},
        {"at": -1},
        {"at": "0"},
        {"instance": 7},
        {"readings": 0},
    ],
)
def test_a_round_with_numbers_that_cannot_be_stored_is_none(changes: dict[str, object]) -> None:
    whole = {"instance": INSTANCE, "sequence": 1, "at": 0, "readings": [{"component": "db", "status": "pass"}]}
    assert decode(json.dumps(whole)).readings == (Reading("db", "pass"),)
    with pytest.raises(ValueError, match=r"."):
        decode(json.dumps(whole | changes))


@pytest.mark.parametrize("latency", [-1.0, float("nan"), float("inf"), 1e300, 10**400])
def test_a_latency_that_is_none_is_left_out(latency: float) -> None:
    assert take(INSTANCE, 0, 0, [Reading("db", "pass", latency)]).readings[0].latency_ms is None


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


def test_what_is_old_is_removed_each_kind_at_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_open_incident_is_never_removed(world: World) -> None:
    write(world, [(at - 500 * DAY, "fail", 1.0) for at in (0, 10, 20)])
    tidy(world, NOON)
    assert (count(world, "sample"), count(world, "incident")) == (0, 1)


def test_old_figures_are_removed_once_an_hour_whoever_does_it(world: World) -> None:
    assert tidy(world, NOON) == 0
    assert tidy(world, NOON + 3599) is None
    assert tidy(world, NOON + 3600) == 0


def test_a_clock_that_runs_ahead_removes_nothing_young(world: World) -> None:
    write(world, [(time.time() - NOON, "pass", 1.0)])
    tidy(world, time.time() + 1000 * DAY)
    assert [count(world, table) for table in ("sample", "minute", "hour")] == [1, 1, 1]


def test_a_sample_that_comes_after_its_time_is_refused_and_its_minute_stays(world: World) -> None:
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
