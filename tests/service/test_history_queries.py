"""Queries of the history, compared with statistics that the test computes."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from service.health.state import iso
from service.history import api, queries
from service.history.statistics import CLASSES, WINDOWS
from tests.service.history_kit import NOON, World, classify, write

DAY = 86400


def bucket(document: dict[str, Any], at: float) -> dict[str, Any]:
    (found,) = [each for each in document["buckets"] if each["start"] <= iso(NOON + at) < each["end"]]
    return found


@pytest.mark.parametrize(("name", "count", "seconds"), [("24h", 96, 900), ("7d", 84, 7200), ("90d", 90, DAY)])
def test_window_has_all_its_buckets_with_little_data(world: World, name: str, count: int, seconds: int) -> None:
    found = queries.history(world.query, "db", WINDOWS[name], NOON)
    assert (len(found["buckets"]), found["bucket_seconds"]) == (count, seconds)
    assert {each["state"] for each in found["buckets"]} == {"no_data"}
    ends = [each["end"] for each in found["buckets"]]
    assert [each["start"] for each in found["buckets"]] == [found["start"], *ends[:-1]]
    assert ends[-1] == found["end"] > found["now"] == "2025-03-11T12:00:00.000Z"
    assert found["uptime"]["percent"] is None
    assert found["uptime"]["coverage"] == 0
    assert found["p50_ms"] is found["p95_ms"] is None


def test_gap_is_no_data_and_partial_bucket_shows_coverage(world: World) -> None:
    write(world, [(-3600 + 10 * n, "pass", 1.0) for n in range(30)])  # five minutes, an hour ago
    found = queries.history(world.query, "db", WINDOWS["24h"], NOON)
    part = bucket(found, -3600)
    assert (part["state"], part["samples"], part["failed"], part["coverage"]) == ("pass", 30, 0, 0.333)
    assert bucket(found, -3600 + 900)["state"] == "no_data"
    assert bucket(found, -3600 + 900)["coverage"] == 0
    assert found["uptime"]["percent"] == 100
    assert found["uptime"]["coverage"] == 0.003  # five minutes of a day
    assert "neither as up nor as down" in found["uptime"]["definition"]


def test_coverage_of_current_bucket_counts_elapsed_minutes(world: World) -> None:
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
        (["pass"] * 2 + ["fail"], "warn", 1, 66),
    ],
)
def test_bucket_state_follows_from_its_samples(
    world: World, statuses: list[str], state: str, failed: int, percent: float | None
) -> None:
    write(world, [(n, status, 1.0) for n, status in enumerate(statuses)])
    found = queries.history(world.query, "db", WINDOWS["24h"], NOON + 60)
    now = bucket(found, 0)
    assert (now["state"], now["failed"]) == (state, failed)
    assert now["samples"] == len(statuses) - statuses.count("unknown")
    assert found["uptime"]["percent"] == percent
    assert api.summarize(world.query, ["db"], NOON + 60)["uptime"]["db"] == (found["uptime"])


def test_statistics_of_minutes_and_hours_match_the_samples(world: World) -> None:
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


def test_hourly_percentiles_approximate_the_true_ones(world: World) -> None:
    chance = random.Random(3)
    latencies = [chance.lognormvariate(1, 1) for _ in range(360)]
    write(world, [(10.0 * n, "pass", ms) for n, ms in enumerate(latencies)])
    write(world, [(5.0, "fail", 1000.0)], "other")
    found = queries.history(world.query, "db", WINDOWS["7d"], NOON + 3600)
    true = statistics.quantiles(latencies, n=20, method="inclusive")
    assert found["p50_ms"] == pytest.approx(true[9], rel=0.1)
    assert found["p95_ms"] == pytest.approx(true[18], rel=0.1)
    assert bucket(found, 0)["p50_ms"] == found["p50_ms"]


def test_latencies_exclude_failed_samples(world: World) -> None:
    write(world, [(0, "pass", 40.0), (10, "fail", 0.1), (20, "fail", 0.1)])
    found = queries.history(world.query, "db", WINDOWS["24h"], NOON + 60)
    assert found["p50_ms"] > 30


def test_statistics_agree_across_windows(world: World) -> None:
    write(world, [(60.0 * n, "fail" if n % 7 == 0 else "pass", 2.0) for n in range(-600, 0)])
    found = [queries.history(world.query, "db", window, NOON) for window in WINDOWS.values()]
    assert (
        len({(each["uptime"]["percent"], each["uptime"]["samples"], each["uptime"]["failed"]) for each in found}) == 1
    )
    assert len({(each["p50_ms"], each["p95_ms"]) for each in found}) == 1
    for each in found:
        assert sum(part["samples"] for part in each["buckets"]) == 600


def test_query_passes_names_as_parameters(world: World) -> None:
    name = "x'; DROP TABLE history_minute; --"
    write(world, [(0, "pass", 1.0)], name)
    assert queries.history(world.query, name, WINDOWS["24h"], NOON + 1)["uptime"]["samples"] == 1
    assert queries.uptime(world.query, WINDOWS["24h"], NOON + 1).keys() == {name}
